"""What holds for the notebooks of descriptors and those that report: the answer first, computed
from the committed tables; links to the neighbours; at the end a verdict, its limits, and three
predictions to check."""

import ast
import re

import pytest

from fercore import paths
from fercore.config import reading
from fercore.workflow import plan

SERIES = reading.notebooks()
REPORTING = [
    name
    for name in SERIES
    if plan.REPORTING <= name < plan.RECOGNISING and name != "27_ablation"  # which trains as well
]
NAMES = ["03_sift_dsift", "04_hog_landmarks", *REPORTING]


def answer(name):
    """What the cell of the answer shows; parameters that stand before it are as declared."""
    cells = [cell for cell in reading.cells(name) if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    place = next(k for k, one in enumerate(sources) if "**Answer.**" in one)
    source = "\n".join(sources[: place + 1])
    *body, last = ast.parse(source).body
    namespace = {}
    exec(compile(ast.Module(body, []), name, "exec"), namespace)
    return eval(compile(ast.Expression(last.value), name, "eval"), namespace).data


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_comes_first_from_the_committed_tables(name):
    text = answer(name)
    assert text.startswith("**Answer.**") and re.search(r"\d", text)
    assert not re.search(r"\bnan\b|\bNone\b|<|\{", text), text


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_the_notebooks_before_and_after(name):
    place = SERIES.index(name)
    texts = [
        "".join(one["source"]) for one in reading.cells(name) if one["cell_type"] == "markdown"
    ]
    links = texts[0].split("\n\n")[1]
    assert f"]({SERIES[place - 1]}.ipynb)" in links and f"]({SERIES[place + 1]}.ipynb)" in links
    assert f"reports/{name}" in links and links.endswith("on two cores")
    for target in re.findall(r"\]\(([\w./]+\.ipynb)\)", "\n".join(texts)):
        assert (paths.NOTEBOOKS / target).exists(), target


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_with_a_computed_verdict_its_limits_and_predictions(name):
    *_, verdict, last = reading.cells(name)
    assert verdict["cell_type"] == "code" and "Markdown(" in "".join(verdict["source"])
    text = "".join(last["source"])
    assert "**Limits.**" in text and text.count("Prediction:") == 3
