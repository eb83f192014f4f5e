"""./run_all.sh: the smoke series with its artefacts, and how it answers mistakes, failures and
changes."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.data.splits import SPLITS
from fercore.evaluation import origins, scoring
from fercore.workflow import pages as report_pages
from fercore.workflow import plan

SMOKE = paths.outputs("smoke")


def run_all(*arguments):
    """(exit status, what it prints)."""
    command = [str(paths.ROOT / "run_all.sh"), *arguments]
    call = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=1500
    )
    return call.returncode, call.stdout + call.stderr


def trained_here(network):
    """Whether nothing is missing that a network needs."""
    return parameters.lacking(parameters.network(network)) is None


@pytest.fixture(scope="module")
def smoke():
    """What the smoke series prints; all of it is run, or what is not up to date."""
    status, text = run_all("--profile", "smoke")
    assert status == 0, text
    return text


def test_the_series_says_what_it_does_and_names_the_index(smoke):
    assert "embedded synthetic faces" in smoke
    assert "To do:" in smoke or "Nothing to do" in smoke
    assert smoke.strip().endswith("outputs/smoke/reports/index.html")


def test_every_job_leaves_an_executed_copy_and_a_report(smoke):
    for job in plan.jobs(parameters.profile("smoke")):
        assert (SMOKE / "notebooks" / f"{job.name}.ipynb").exists()
        text = (SMOKE / "reports" / f"{job.name}.html").read_text()
        assert "say nothing about FER2013" in text and 'href="index.html"' in text
        assert "<script" not in text


def test_a_missing_page_is_made_though_the_index_is_there(smoke):
    page = SMOKE / "reports/00_dataset.html"
    kept = page.rename(
        page.with_suffix(".kept")
    )  # the published index is committed without its pages
    try:
        _, text = run_all("--profile", "smoke", "--dry-run")
    finally:
        kept.rename(page)
    assert "To do:   " in text and "\n  00_dataset " in text


def test_no_report_tells_the_machine(smoke):
    pages = list((SMOKE / "reports").glob("*.html"))
    assert len(pages) == len(plan.jobs(parameters.profile("smoke"))) + 1
    for page in pages:
        assert report_pages.machine_paths(page.read_text()) == [], page.name


def test_every_network_leaves_predictions_record_and_history(smoke):
    for split, names in parameters.profile("smoke").networks.items():
        for name in filter(trained_here, names):
            predictions = artifacts.load_predictions(SMOKE, split, name, 0)
            shape = len(predictions.row_ids), len(SPLITS[split].class_names)
            assert predictions.probabilities.shape == predictions.probabilities_tta.shape == shape
            assert (
                artifacts.read_record(SMOKE, split, name, 0)["data"]["origin"]
                == "embedded synthetic faces"
            )
            if parameters.network(name)["recipe"]:
                assert list(pd.read_csv(artifacts.history_path(SMOKE, split, name, 0)).epoch) == [1]


def test_results_have_a_row_for_every_network_aggregate_split_and_averaging(smoke):
    results = pd.read_csv(SMOKE / "tables" / "results.csv")
    official = results[results.split == "official"]
    networks = set(filter(trained_here, parameters.profile("smoke").networks["official"]))
    aggregates = {
        name for name, one in parameters.aggregates().items() if set(one.members) <= networks
    }
    assert len(aggregates) == 6 and set(official.network) == networks | aggregates | {
        parameters.STUDY_ENSEMBLE
    }
    assert len(official) == len(set(official.network)) * 2 * 2
    assert results.accuracy.between(0, 100).all()
    assert results[results.split == "test"].n.min() > 0


def test_the_index_shows_tables_and_a_thumbnail_of_each_notebook(smoke):
    text = (SMOKE / "reports" / "index.html").read_text()
    assert "<table" in text and "say nothing about FER2013" in text
    assert text.count("data:image/webp;base64,") >= 8


def test_the_command_beside_a_number_makes_it_again(smoke, tmp_path):
    made = scoring.Run("smoke", SMOKE, None)
    [command] = [one for one in origins.of(made).command if "network: shallow_cnn," in one]
    again = command.replace("profile: smoke", "profile: again").replace(
        "executed.ipynb", f"{tmp_path}/executed.ipynb"
    )
    environment = os.environ | {
        "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    }
    try:
        subprocess.run(
            again,
            shell=True,
            check=True,
            capture_output=True,
            cwd=paths.ROOT,
            env=environment,
            timeout=300,
        )
        first, second = (
            artifacts.load_predictions(paths.outputs(profile), "pooled_80_10_10", "shallow_cnn", 0)
            for profile in ("smoke", "again")
        )
        assert (first.row_ids == second.row_ids).all()
        np.testing.assert_allclose(
            first.probabilities, second.probabilities, atol=0.011
        )  # saved in steps of .005
    finally:
        shutil.rmtree(paths.outputs("again"), ignore_errors=True)


def test_run_again_it_has_nothing_to_do(smoke):
    status, text = run_all("--profile=smoke", "--cores", "1")
    assert status == 0 and "Nothing to do" in text


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--profle"], "unknown option --profle"),
        (["--profile", "nix"], "unknown profile nix; there are full, published, quick, smoke"),
        (
            ["--profile", "../profiles/smoke"],
            "--profile wants a name of letters, digits, - and _, not '../profiles/smoke'",
        ),
        (["--profile"], "--profile wants a value"),
        (["--cores", "two"], "--cores wants a number of cores, not 'two'"),
        (["--data", "nowhere.csv"], "--data nowhere.csv: no such file or folder"),
    ],
)
def test_a_mistake_is_answered_in_one_line(arguments, words):
    status, text = run_all(*arguments)
    assert status == 2 and words in text and len(text.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["FER2013", "FERPLUS"])
def test_a_place_in_the_environment_that_is_not_there_is_named(monkeypatch, name):
    monkeypatch.delenv("FER2013", raising=False)
    monkeypatch.setenv(name, "/nosuch")
    assert run_all("--dry-run") == (2, f"run_all.sh: {name}=/nosuch: no such file or folder\n")


def test_help_lists_profiles_and_options():
    status, text = run_all("--help")
    assert status == 0
    for word in (
        *parameters.profiles(),
        "--profile",
        "--data",
        "--cores",
        "--force",
        "--dry-run",
        "test",
    ):
        assert word in text


PARAMETERS = """
from typing import Optional
data: Optional[str] = None
profile: str = "x"
level: int = 1
"""
TRAIN = """
import numpy as np
from fercore import artifacts, paths
z = np.full((2, 7), 1 / 7)
predictions = artifacts.Predictions(np.arange(2), np.array([1, 2]), z, z)
artifacts.save_predictions(paths.outputs(profile), split, network, seed, predictions, {"network": network})
artifacts.write_atomically(artifacts.history_path(paths.outputs(profile), split, network, seed), "epoch")
assert level < 9, "too high"
"""
FAMILY = 'split: str = "a"\nnetwork: str = "b"\nseed: int = 0\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of its own with four notebooks that take a second each."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(paths.ROOT / "fercore", root / "fercore")
    shutil.copy(paths.ROOT / "Snakefile", root)
    sources = {
        "00_data": [PARAMETERS, "level"],
        "10_net": [PARAMETERS + FAMILY, TRAIN],
        "20_mean": [PARAMETERS + 'split: str = "a"', "level"],
        "30_tables": [PARAMETERS, "level"],
    }
    for name, cells in sources.items():
        new = [nbformat.v4.new_markdown_cell(f"# {name}"), *map(nbformat.v4.new_code_cell, cells)]
        new[1].metadata["tags"] = ["parameters"]
        (root / "notebooks").mkdir(exist_ok=True)
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook = nbformat.v4.new_notebook(cells=new, metadata={"kernelspec": kernel})
        nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")
    for path, text in {
        "networks/one.yaml": "{notebook: 10_net, recipe: study, base: cnn, inputs: [image]}",
        "recipes/study.yaml": "{}",
        "profiles/try.yaml": "{data: synthetic, networks: {official: [one]}}",
    }.items():
        artifacts.write_atomically(root / "params" / path, text)
    return root


def run_project(root, parameters, *options):
    """(exit status, what it prints) of the project's run with these notebook parameters."""
    profile = {
        "description": "a try",
        "data": "synthetic",
        "networks": {"official": ["one"]},
        "parameters": parameters,
    }
    (root / "params/profiles/try.yaml").write_text(json.dumps(profile))
    call = subprocess.run(
        [sys.executable, "-m", "fercore", "run", "try", "--cores", "2", *options],
        cwd=root,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(root)},
        timeout=600,
    )
    return call.returncode, call.stdout + call.stderr


def test_only_what_depends_on_a_change_runs_again(project):
    status, text = run_project(project, {})
    assert status == 0 and "To do:   4 notebooks" in text, text
    status, text = run_project(project, {"20_mean": {"level": 2}}, "--dry-run")
    assert (
        "To do:   2 notebooks (2 up to date)" in text
        and "20_mean.official" in text
        and "30_tables" in text
    )
    status, text = run_project(project, {})
    assert status == 0 and "Nothing to do" in text


def test_a_failure_names_notebook_cell_error_and_copy_and_the_rest_goes_on(project):
    status, text = run_project(project, {"all": {"level": 9}})
    assert status == 1
    named = (
        "10_net.official.one.seed0: cell [3] `import numpy as np`: AssertionError: too high; "
        "open outputs/try/notebooks/10_net.official.one.seed0.ipynb"
    )
    assert named in text
    assert (project / "outputs/try/notebooks/10_net.official.one.seed0.ipynb").exists()
    assert (project / "outputs/try/reports/00_data.html").exists()
    assert (
        "one that failed: 10_net.official.one.seed0"
        in (project / "outputs/try/reports/index.html").read_text()
    )
    status, text = run_project(project, {"all": {"level": 3}})
    assert status == 0, text


def test_options_behind_two_dashes_go_to_snakemake(project):
    status, text = run_project(project, {}, "--dry-run", "--", "--quiet", "nonsense")
    assert status == 1 and "nonsense" in text


def test_an_undeclared_key_stops_before_anything_runs(project):
    before = (
        (project / "outputs/try").stat().st_mtime if (project / "outputs/try").exists() else None
    )
    status, text = run_project(project, {"10_net": {"levl": 2}})
    assert status == 2 and len(text.strip().splitlines()) == 1
    assert (
        "params/profiles/try.yaml: 'levl' is no parameter of notebook 10_net; did you mean 'level'?"
        in text
    )
    assert before is None or (project / "outputs/try").stat().st_mtime == before


@pytest.mark.parametrize("seconds, words", [(5, "5 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_are_said_as_people_say_them(seconds, words):
    assert artifacts.duration(seconds) == words
