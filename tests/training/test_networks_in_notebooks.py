"""The networks that notebooks 12 to 15 write out for a reader to edit are the study's own."""

from types import SimpleNamespace

import pytest

from fercore.config import parameters, reading, recipes
from fercore.models import registry
from fercore.training import lessons, trainer

DEFINING = ("def my_network", "def joined", "SHAPES =")
NAMES = ("shallow_cnn_source", "deep_cnn_sigmoid", "vgg16_scratch", "inception_v1")
NAMES += ("five_class_cnn", "model_a_landmarks_hog", "model_b_nobn", "model_a_published")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_notebook_writes_out_is_the_studys_network(name, monkeypatch):
    settings = parameters.network(name)
    cells = reading.cells(settings["notebook"])
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    here = {"experiment": SimpleNamespace(settings=settings)}
    for source in [code[0], *(one for one in code if any(word in one for word in DEFINING))]:
        exec(source, here)
    monkeypatch.setitem(registry.NETWORKS, lessons.EDITED, here["my_network"])
    recipe, given = recipes.read(settings["recipe"]), settings.get("parameters", {})
    study, own = (
        trainer.build(base, recipe, 0, classes=5, **given)
        for base in (settings["base"], lessons.EDITED)
    )
    assert trainer.structure(own) == trainer.structure(study)
    assert own.count_params() == study.count_params()
