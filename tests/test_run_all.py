"""./run_all.sh: the smoke series with its artefacts, and mistakes in options."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.data.splits import SPLITS
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


def test_run_again_only_a_page_that_is_missing_is_made(smoke):
    page = SMOKE / "reports/32_training_cost.html"
    kept = page.rename(
        page.with_suffix(".kept")
    )  # the published index is committed without its pages
    try:
        _, text = run_all("--profile=smoke", "--dry-run", "--cores", "1")
    finally:
        kept.rename(page)
    up_to_date = len(plan.jobs(parameters.profile("smoke"))) - 1
    assert f"To do:   1 notebook ({up_to_date} up to date)" in text, text
    assert "\n  32_training_cost " in text and "on 1 core" in text


def test_a_finished_run_leaves_no_checkpoint_and_nothing_unfinished(smoke):
    assert [path for path in (SMOKE / "checkpoints").rglob("*") if path.is_file()] == []
    assert list(SMOKE.rglob(f"*{artifacts.UNFINISHED}")) == []


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
    assert "aggregated_cnn" in aggregates
    assert set(official.network) == networks | aggregates | {parameters.STUDY_ENSEMBLE}
    assert len(official) == len(set(official.network)) * 2 * 2
    assert results.accuracy.between(0, 100).all()
    assert results[results.part == "test"].n.min() > 0


def test_the_index_shows_tables_and_a_thumbnail_of_each_notebook(smoke):
    text = (SMOKE / "reports" / "index.html").read_text()
    assert "<table" in text and "say nothing about FER2013" in text
    assert text.count("data:image/webp;base64,") >= 8


def test_the_command_beside_a_number_makes_it_again(smoke, tmp_path):
    rows = (SMOKE / "tables" / "origins.md").read_text().splitlines()
    [row] = [row for row in rows if "network: shallow_cnn," in row]
    command = row.strip("| ").split(" | ")[-1]
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
            artifacts.load_predictions(paths.outputs(profile), "official", "shallow_cnn", 0)
            for profile in ("smoke", "again")
        )
        assert (first.row_ids == second.row_ids).all()
        np.testing.assert_allclose(
            first.probabilities, second.probabilities, atol=0.011
        )  # saved in steps of .005
    finally:
        shutil.rmtree(paths.outputs("again"), ignore_errors=True)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--profle"], "unknown option --profle"),
        (
            ["--profile", "nix"],
            f"unknown profile nix; there are {', '.join(parameters.names('profiles'))}",
        ),
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


def test_a_place_in_the_environment_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("FER2013", "/nosuch")
    assert run_all("--dry-run") == (2, "run_all.sh: FER2013=/nosuch: no such file or folder\n")


def test_help_lists_profiles_and_options():
    status, text = run_all("--help")
    assert status == 0
    for word in (
        *parameters.names("profiles"),
        "--profile",
        "--data",
        "--cores",
        "--force",
        "--dry-run",
        "test",
    ):
        assert word in text


@pytest.mark.parametrize("seconds, words", [(5, "5 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_are_said_as_people_say_them(seconds, words):
    assert artifacts.duration(seconds) == words
