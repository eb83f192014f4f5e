"""What holds for every notebook of the series."""

import ast
import json
import subprocess
import sys

import pytest

from fercore import paths
from fercore.config import parameters, reading
from fercore.workflow import plan

NAMES = reading.notebooks()
TEACHING = [name for name in NAMES if name.startswith("1")]
FIRST_SERIES = (
    "00_dataset",
    "01_eda",
    "02_preprocessing",
    "03_sift_dsift",
    "10_cnn",
    "11_vgg",
    "20_aggregation",
    "21_confusion_matrices",
    "30_accuracy_tables",
)


def code_cells(name):
    return [cell for cell in reading.cells(name) if cell["cell_type"] == "code"]


def test_the_series_is_complete():
    assert set(FIRST_SERIES) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_is_stripped(name):
    for cell in code_cells(name):
        assert cell["outputs"] == [] and cell["execution_count"] is None
    content = json.loads((paths.NOTEBOOKS / f"{name}.ipynb").read_text())
    assert set(content["metadata"]) <= {"kernelspec", "language_info"}
    assert content["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("name", NAMES)
def test_has_one_parameters_cell_of_plain_values_each_explained(name):
    tagged = [cell for cell in code_cells(name) if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    for line in "".join(tagged[0]["source"]).splitlines():
        if line.strip() and not line.startswith(("from typing", "#")):
            assert "  # " in line, f"no comment: {line}"
            assert isinstance(ast.parse(line).body[0], ast.AnnAssign), f"no type: {line}"
            assert "| None" not in line, f"papermill reads Optional[...] only: {line}"


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_short_and_have_no_classes(name):
    for cell in code_cells(name):
        source = "".join(cell["source"])
        limit = 18 if "parameters" in cell["metadata"].get("tags", []) else 15
        assert len(source.splitlines()) <= limit, source
        assert not any(isinstance(node, ast.ClassDef) for node in ast.walk(ast.parse(source)))


@pytest.mark.parametrize("name", NAMES)
def test_begins_with_its_question_and_ends_with_what_it_shows(name):
    texts = ["".join(cell["source"]) for cell in reading.cells(name)]
    assert texts[0].startswith("# ") and "question" in texts[0].lower()
    headings = [text for text in texts if text.startswith("## ")]
    assert headings[-1].startswith("## What this shows")


@pytest.mark.parametrize("name", TEACHING)
def test_a_notebook_that_trains_ends_with_a_computed_verdict_and_things_to_try(name):
    texts = ["".join(cell["source"]) for cell in reading.cells(name)]
    assert any("\nreplay: bool = False" in text for text in texts)
    assert "**Verdict.**" in texts[-2] and reading.cells(name)[-2]["cell_type"] == "code"
    assert texts[-1].count("Prediction:") == 3


@pytest.mark.parametrize("name", NAMES)
def test_says_what_data_it_takes(name):
    assert reading.declared(name)["data"] == "Optional[str]"


@pytest.mark.parametrize("name", parameters.names("profiles"))
def test_every_key_of_every_profile_is_declared(name):
    plan.jobs(parameters.profile(name))


@pytest.mark.parametrize("name", ["published", "rederived"])
def test_a_run_without_training_takes_every_notebook(name):
    jobs = plan.jobs(parameters.profile(name))
    assert {job.notebook for job in jobs} | {"20_aggregation", "21_confusion_matrices"} == set(
        NAMES
    )
    assert not any(job.trains for job in jobs)


def test_the_demonstration_trains_a_network_of_three_families_on_synthetic_faces_alone():
    jobs = plan.jobs(parameters.profile("demonstration"))
    trained = [job.notebook for job in jobs if job.trains]
    assert len(trained) == len(set(trained)) == 3
    assert all(job.parameters["data"] == "synthetic" for job in jobs)
    assert all(job.parameters["profile"] == "demonstration" for job in jobs)


def test_every_network_names_a_notebook_and_a_recipe():
    for name in parameters.names("networks"):
        content = parameters.network(name)
        assert content["notebook"] in NAMES
        recipe = content["recipe"]  # null where nothing is learnt step by step
        assert recipe is None or (paths.PARAMS / "recipes" / f"{recipe}.yaml").exists()


@pytest.mark.parametrize("name", ["full", "quick", "smoke"])
def test_what_is_changed_for_a_try_by_hand_is_as_the_recipe_says_in_a_run(name):
    for job in plan.jobs(parameters.profile(name)):
        if job.notebook in ("10_cnn", "11_vgg", "17_compact", "18_large"):
            assert job.parameters["batch_size"] is None and job.parameters["learning_rate"] is None


def test_notebooks_that_only_report_import_no_framework():
    """It would take most of the seconds that each of them lasts."""
    lines = []
    for name in NAMES:
        if plan.REPORTING <= name < plan.RECOGNISING:
            for cell in code_cells(name):
                body = ast.parse("".join(cell["source"])).body
                imports = (ast.Import, ast.ImportFrom)
                lines += [ast.unparse(node) for node in body if isinstance(node, imports)]
    lines += ["import sys", "print({'keras', 'tensorflow', 'jax', 'torch'} & sys.modules.keys())"]
    command = [sys.executable, "-c", "\n".join(dict.fromkeys(lines))]
    call = subprocess.run(command, capture_output=True, text=True, cwd=paths.ROOT)
    assert call.stdout.strip() == "set()", call.stdout + call.stderr[-500:]


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_takes_the_name_of_an_imported_module(name):
    nodes = [
        node for cell in code_cells(name) for node in ast.walk(ast.parse("".join(cell["source"])))
    ]
    aliases = [node.names for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {one.asname or one.name.partition(".")[0] for names in aliases for one in names}
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    assert not imported & stored
