"""What the notebooks that train share: networks edited by a reader, replays of committed runs."""

import ast
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from fercore import artifacts, paths
from fercore.config import parameters, reading, recipes
from fercore.data import datasets
from fercore.models import registry
from fercore.training import experiments, lessons, trainer
from fercore.training.loading import TrainingError

PUBLISHED = paths.OUTPUTS / "published"
GIVEN = {"split": "official", "data": "synthetic", "subset": 21, "profile": "try"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs are written to a folder of the test, which has the published one."""
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    (tmp_path / "published").symlink_to(PUBLISHED)


@pytest.fixture
def experiment():
    changes = {"epochs": 1, "batch_size": 32, "precision": "float32"}
    return lessons.read("shallow_cnn", replay=False, **GIVEN, **changes)


def plain(**given):
    """As the notebooks have it before a reader edits it."""
    model = registry.build("shallow_cnn", **given)
    return keras.Model(model.input, model.layers[-1](model.layers[-1].input), name=model.name)


def edited(**given):
    model = registry.build("shallow_cnn", **given)
    x = keras.layers.Dropout(0.5)(model.layers[-1].input)
    return keras.Model(model.input, model.layers[-1](x), name=model.name)


def test_a_network_left_as_it_is_is_the_studys(experiment):
    kept, model = lessons.build(experiment, plain)
    study = experiments.build(experiment)
    assert kept.network == "shallow_cnn"
    for own, theirs in zip(model.get_weights(), study.get_weights(), strict=True):
        np.testing.assert_array_equal(own, theirs)


@pytest.mark.parametrize(
    "name", ["cnn", "cnn_published", "vgg", "compact", "compact_matched", "residual"]
)
def test_the_network_that_a_notebook_writes_out_is_the_studys(name):
    settings = parameters.network(name)
    cells = ["".join(cell["source"]) for cell in reading.cells(settings["notebook"])]
    known: dict = {"experiment": SimpleNamespace(settings=settings)}
    for source in cells:
        if source.startswith("def my_network") or "\nfrom fercore" in source:
            exec(compile(ast.parse(source), name, "exec"), known)
    given = {"classes": 7} | settings["parameters"]
    own, study = known["my_network"](**given), registry.build(settings["base"], **given)
    assert own.name == study.name and trainer.structure(own) == trainer.structure(study)


def test_a_network_that_is_edited_trains_under_a_name_of_its_own(experiment, capsys):
    kept, model = lessons.build(experiment, edited)
    parts = experiments.examples(kept)
    history = lessons.fit(kept, model, parts)
    one_view, averaged = lessons.validate(kept, model, parts, history)
    assert len(capsys.readouterr().out.splitlines()) == len(history) == 1
    assert artifacts.list_predictions(kept.folder) == [("official", "shallow_cnn_edited", 0)]
    assert len(one_view.labels) == len(averaged.labels) == len(parts.validation)
    assert lessons.build(kept, plain)[0].network == "shallow_cnn"


def test_one_step_takes_about_a_tenth_off_the_loss_and_leaves_the_model(experiment):
    _, model = lessons.build(experiment, plain)
    before = model.get_weights()
    batch = lessons.batch(experiment, model, experiments.examples(experiment))
    step = lessons.one_step(model, batch, experiment.recipe)
    fall = 1 - step["loss after the step"] / step["loss before the step"]
    assert 0.02 < fall < 0.15
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))


def test_a_replay_has_the_committed_history_and_accuracy():
    experiment = lessons.read("cnn", replay=True, seed=1, **GIVEN)
    committed, results = lessons.committed(experiment), lessons.table("results")
    rows = results[(results.network == "cnn") & (results.split == "official") & (results.seed == 1)]
    wanted = rows[rows.part == "validation"].set_index("tta").accuracy
    for scored, tta in ((committed.plain, False), (committed.averaged, True)):
        assert 100 * scored.right.mean() == pytest.approx(wanted[tta], abs=1e-3)
    assert committed.history.val_accuracy.max() == pytest.approx(wanted[False] / 100, abs=1e-3)


def test_a_run_that_is_not_committed_is_replaced_by_the_nearest_one():
    experiment = lessons.read("vgg", replay=True, **GIVEN)
    assert "pooled_64_16_20" in lessons.committed(experiment).title
    with pytest.raises(TrainingError, match="replay = False"):
        lessons.read("vgg16_imagenet", replay=True, **GIVEN)


def test_a_replay_follows_the_recipe_of_its_record_not_of_today():
    given = {"split": "ferplus_five_tenth", "seed": 1, "data": "synthetic"}
    replay = lessons.read("five_class_cnn", replay=True, **given)
    today = recipes.read(replay.settings["recipe"])
    assert replay.recipe.epochs == lessons.committed(replay).record["epochs"] != today.epochs


def test_of_a_recipe_the_values_in_effect_are_shown_with_what_they_mean():
    def keys(network, **changes):
        experiment = lessons.read(network, replay=False, **GIVEN, **changes)
        return lessons.recipe(experiment).data.set_index("key")

    compact, student = keys("compact"), keys("compact_distilled")
    assert "Passes over the training faces" in compact.meaning["epochs"]
    idle = {"soft_share", "small_share", "decay", "decay_steps", "erasing", "descriptor_follows"}
    assert "warmup" in compact.index and not idle & set(compact.index)
    assert "soft_share" in student.index and "descriptor_scaling" in keys("sift_cnn").index
    assert not {"warmup", "decay"} & set(keys("compact", schedule="constant").index)


def test_a_student_is_replayed_without_its_teachers():
    experiment = lessons.read("compact_distilled", replay=True, **GIVEN)
    assert experiments.examples(experiment).train.soft_labels is None


def test_mistakes_without_pixels_are_rows_of_the_original():
    committed = lessons.committed(lessons.read("cnn", replay=True, **GIVEN))
    scored = lessons.with_pixels(committed.averaged, "synthetic")
    table = lessons.mistakes(scored, 3).data
    facts, names = datasets.facts(), datasets.facts().class_names
    labels = [names[facts.labels[row]] for row in table["row of fer2013.csv"]]
    assert list(table.label) == labels and (table.label != table.predicted).all()
    assert table.probability.is_monotonic_decreasing


def test_the_largest_confusion_is_the_largest(experiment):
    committed = lessons.committed(lessons.read("cnn", replay=True, **GIVEN))
    counts = committed.averaged.matrix
    np.fill_diagonal(counts, 0)
    assert f"{counts.max():,} of" in lessons.largest_confusion(committed.averaged).data
