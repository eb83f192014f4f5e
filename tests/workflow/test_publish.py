"""What may be published."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fercore import artifacts, paths
from fercore.config import parameters, recipes
from fercore.evaluation import comparison
from fercore.workflow import pages, plan, publish

RECORD = {"network": "cnn", "data": {"origin": "FER2013, complete", "n": 35887}}


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    return tmp_path


def save(outputs, network="cnn", split="official", **data):
    values = np.full((3, 7), 1 / 7)
    predictions = artifacts.Predictions(np.arange(3), np.array([1, 1, 2]), values, values)
    record = RECORD | {"data": RECORD["data"] | data}
    artifacts.save_predictions(outputs / "full", split, network, 0, predictions, record)
    artifacts.write_atomically(
        artifacts.history_path(outputs / "full", split, network, 0), "epoch\n1\n"
    )


def test_predictions_records_and_histories_are_copied_and_aggregates_are_not(outputs):
    save(outputs)
    save(outputs, "aggregated_cnn")
    assert "1 networks" in publish.publish("full")
    target = outputs / "published"
    copied = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert copied == [
        "histories/official/cnn/seed0.csv",
        "predictions/official/cnn/seed0.json",
        "predictions/official/cnn/seed0.npz",
    ]


def test_measured_tables_are_copied_ablations_of_full_length(outputs):
    save(outputs)
    for name in (
        "own_way.csv",
        "ablation.official.4000x12.csv",
        "ablation.official.300x2.csv",
        "results.csv",
        "one_budget.official.allx6.csv",
        "one_budget.official.300x2.csv",
        "search.s.csv",
    ):
        artifacts.write_atomically(outputs / "full/tables" / name, name)
    publish.publish("full")
    copied = sorted(path.name for path in (outputs / "published/tables").iterdir())
    assert copied == [
        "ablation.official.4000x12.csv",
        "one_budget.official.allx6.csv",
        "own_way.csv",
        "search.s.csv",
    ]


def test_of_trainings_on_a_share_of_the_faces_the_table_alone_is_copied(outputs):
    save(outputs, split="official_5_percent")
    row = {
        "percent": 5,
        "network": "cnn",
        "recipe": "study",
        "seed": 0,
        "data": "FER2013",
        "accuracy": 40.0,
    }
    for name, rows in (
        ("full", [row]),
        ("published", [row | {"accuracy": 1.0}, row | {"seed": 1}]),
    ):
        rows = pd.DataFrame(rows, columns=comparison.CURVE)
        comparison.add_to_curve(outputs / name, rows, data="FER2013")
    publish.publish("full")
    assert not list((outputs / "published").rglob("*.npz"))
    assert comparison.read_curve(outputs / "published")[
        ["seed", "accuracy"]
    ].to_numpy().tolist() == [
        [0, 40],
        [1, 40],
    ]


@pytest.mark.parametrize(
    "data, words",
    [
        ({"origin": "embedded synthetic faces"}, "embedded synthetic faces; only runs on FER2013"),
        ({"n": 3000, "subset": 1000}, "made on 3000 faces only"),
        ({"source": f"{paths.ROOT}/fer2013.csv"}, f"path of the machine: {paths.ROOT}"),
    ],
)
def test_other_runs_are_refused(outputs, data, words):
    save(outputs, **data)
    with pytest.raises(ValueError, match=words):
        publish.publish("full")
    assert not (outputs / "published").exists()


def test_a_run_that_is_missing_is_named(outputs):
    with pytest.raises(
        ValueError, match=r"outputs/none: no predictions; run \./run_all\.sh --profile none"
    ):
        publish.publish("none")


def test_a_run_that_rederives_is_compared_row_by_row(outputs):
    """Predictions, histories and long measurements come in; what is made of them is compared."""
    save(outputs)
    (outputs / "full").rename(outputs / "published")
    tables = outputs / "published" / "tables"
    artifacts.write_atomically(tables / "own_way.csv", "a\n1\n")
    rows = pd.DataFrame({"network": ["cnn", None], "accuracy": [67.3, None]})
    for name in ("results.csv", "changes.csv", "leaks.csv"):  # the last one is made of faces
        artifacts.write_atomically(tables / name, rows.to_csv(index=False))
    publish.fetch("published", "rederived")
    made = outputs / "rederived" / "tables"
    assert artifacts.list_predictions(outputs / "rederived") == [("official", "cnn", 0)]
    assert [path.name for path in made.iterdir()] == ["own_way.csv"]
    artifacts.write_atomically(made / "results.csv", rows.to_csv(index=False))
    told = "4 rows re-derived; not as committed: changes.csv"
    assert publish.compare("published", "rederived") == (False, told)
    for accuracy, equal in ((67.3004, True), (67.4, False)):
        other = rows.assign(accuracy=[accuracy, None])
        artifacts.write_atomically(made / "changes.csv", other.to_csv(index=False))
        assert publish.compare("published", "rederived")[0] is equal
    assert publish.compare("published", "rederived")[1].endswith("changes.csv")
    artifacts.write_atomically(made / "changes.csv", rows.to_csv(index=False))
    told = "4 rows re-derived, all equal to the committed ones"
    assert publish.compare("published", "rederived") == (True, told)


PUBLISHED = paths.ROOT / "outputs" / "published"
has_results = pytest.mark.skipif(
    not (PUBLISHED / "tables" / "results.csv").exists(), reason="nothing published yet"
)


@has_results
def test_what_is_published_is_fer2013_and_names_no_machine():
    for key in artifacts.list_predictions(PUBLISHED):
        assert artifacts.read_record(PUBLISHED, *key)["data"]["origin"].startswith("FER2013")
    for path in PUBLISHED.rglob("*"):
        if path.suffix in (".json", ".csv", ".md", ".html", ".svg"):
            assert pages.machine_paths(path.read_text()) == [], path


def test_networks_average_the_views_that_the_results_say():
    files = {name: parameters.network(name) for name in parameters.names("networks")}
    ten = {name for name, content in files.items() if content.get("views") == 10}
    two = {
        name
        for name, content in files.items()
        if str(content.get("recipe")).startswith("published")
        or content["notebook"] in ("10_cnn", "16_svm")
    }
    assert ten == files.keys() - two


def test_the_full_profile_trains_each_published_network_as_it_was_trained():
    folder, full = paths.outputs("published"), parameters.profile("full")
    jobs = {
        (job.parameters["split"], job.parameters["network"]): job
        for job in plan.jobs(full)
        if job.trains
    }
    keys = [
        key
        for key in artifacts.list_predictions(folder)
        if key[:2] in jobs and parameters.network(key[1])["recipe"]
    ]
    assert len(keys) > 30
    for split, network, seed in keys:
        told, content = jobs[split, network].parameters, parameters.network(network)
        name = told.get("recipe") or content["recipe"]
        planned = dataclasses.asdict(recipes.read(name, epochs=told["epochs"]))
        record = artifacts.read_record(folder, split, network, seed)
        scaled = {
            kind: how
            for kind, how in planned["descriptor_scaling"].items()
            if kind in content["inputs"]
        }
        used = {
            key: value
            for key, value in record["recipe_parameters"].items()
            if key != "descriptor_scaling"
        }
        assert record["recipe"] == name and used.items() <= planned.items(), (split, network)
        assert scaled.items() <= record["recipe_parameters"]["descriptor_scaling"].items(), (
            split,
            network,
        )
