"""From predictions and labels to results.csv: what is counted, what is refused, what a fresh clone
can do."""

import shutil

import numpy as np
import pandas as pd
import pytest
from made_up import faces, predict, run

from fercore import artifacts, paths
from fercore.data import datasets
from fercore.evaluation import aggregates, scoring, tables
from fercore.evaluation.scoring import EvaluationError


@pytest.fixture
def data():
    return faces()


def test_results_have_the_columns_of_the_design_and_the_right_numbers(tmp_path, data):
    predict(tmp_path, data, "cnn", wrong=7)
    table = scoring.results(run(tmp_path, data))
    assert tuple(table.columns) == scoring.COLUMNS
    assert list(zip(table.part, table.tta, strict=True)) == [
        ("validation", False),
        ("validation", True),
        ("test", False),
        ("test", True),
    ]
    test = table[(table.part == "test") & table.tta].iloc[0]
    assert (test.n, test.accuracy, test.system, test.table) == (70, 90.0, "A", "networks")
    assert test.accuracy_low < 90 < test.accuracy_high
    assert test.accuracy_deduplicated == pytest.approx(
        100 * 62 / 69, abs=0.01
    )  # the last, right one is a copy
    assert (test.parameters, test.macs, test.train_seconds) == (100, 2000, 60.0)
    assert test.device == "cpu, a processor, 2 cores"
    assert table[table.part == "validation"].accuracy.iloc[0] == pytest.approx(
        100 * 69 / 70, abs=0.01
    )


def test_a_processor_is_named_without_its_marks():
    assert (
        scoring.hardware({"device": "cpu", "processor": "Intel(R) Xeon(R) Processor", "cores": 1})
        == "cpu, Intel Xeon, 1 core"
    )
    assert scoring.hardware({"device": "gpu"}) == "gpu"
    assert (
        scoring.hardware({"device": "gpu", "gpu": "NVIDIA H200", "cores": 16}) == "gpu, NVIDIA H200"
    )


def test_the_time_of_a_network_counts_that_of_its_teachers(tmp_path, data):
    for network in ("cnn", "vgg", "compact"):
        predict(tmp_path, data, network)
    path = artifacts.prediction_path(tmp_path, "official", "compact", 0).with_suffix(".json")
    for teachers, seconds in ((["cnn", "vgg"], 180.0), (["cnn", "deep_cnn"], None)):
        artifacts.write_json(
            path, artifacts.read_record(tmp_path, "official", "compact", 0) | {"teachers": teachers}
        )
        taken = scoring.results(run(tmp_path, data)).set_index("network").train_seconds
        assert taken["cnn"].iloc[0] == 60
        assert (
            taken["compact"].isna().all()
            if seconds is None
            else (taken["compact"] == seconds).all()
        )
    predict(tmp_path, data, "cnn", seed=1)
    taught = {"teachers": ["cnn"], "teacher_seeds": [0, 1]}
    artifacts.write_json(path, artifacts.read_record(tmp_path, "official", "compact", 0) | taught)
    taken = scoring.results(run(tmp_path, data)).set_index("network").train_seconds
    assert (taken["compact"] == 180).all()


def test_a_split_that_the_faces_cannot_have_is_left_out(tmp_path, data):
    """FER+ votes are not at hand: they go by row of fer2013.csv, which made-up faces are not."""
    predict(tmp_path, data, "cnn")
    there = artifacts.prediction_path(tmp_path, "official", "cnn", 0).parent
    shutil.copytree(there, tmp_path / "predictions" / "ferplus_five_tenth" / "cnn")
    made = run(tmp_path, data)
    assert set(scoring.results(made).split) == {"official"} and made.predicted() == [
        ("official", "cnn", 0)
    ]
    with pytest.raises(EvaluationError, match="no predictions on ferplus_five_tenth"):
        scoring.score_all(made, "ferplus_five_tenth")


def test_trainings_counted_together_count_a_shared_teacher_once(tmp_path, data):
    for network in ("cnn", "vgg", "compact"):
        predict(tmp_path, data, network)
    records = [
        artifacts.read_record(tmp_path, "official", name, 0) | {"teachers": ["vgg"]}
        for name in ("cnn", "compact")
    ]
    assert scoring.train_seconds(run(tmp_path, data), *records) == 180


def test_published_figures_stand_beside_their_own_split_of_fer2013_only(tmp_path, data):
    for split in ("official", "pooled_64_16_20"):
        predict(tmp_path, data, "cnn", split=split)
    table = scoring.results(run(tmp_path, data)).set_index(["split", "part", "tta"]).published
    assert table["pooled_64_16_20", "test", False] == 62.55
    assert table["pooled_64_16_20", "validation", True] == 63.57
    assert table["official"].isna().all()
    other = faces(origin="embedded synthetic faces")
    assert scoring.results(run(tmp_path, other)).published.isna().all()


def test_aggregates_and_networks_of_a_users_own_are_rows_too(tmp_path, data):
    for network in ("cnn", "sift_cnn", "mine"):
        predict(tmp_path, data, network)
    aggregates.save_all(tmp_path, "official")
    table = scoring.results(run(tmp_path, data))
    assert list(table.network.unique()) == ["cnn", "sift_cnn", "cnn+sift_cnn", "mine"]
    kinds = table.groupby("network", sort=False).table.first()
    assert list(kinds) == ["networks", "networks", "aggregates", "networks"]
    assert table[table.network == "cnn+sift_cnn"].parameters.iloc[0] == 200


def test_results_csv_reads_back(tmp_path, data):
    predict(tmp_path, data, "cnn")
    table = scoring.results(run(tmp_path, data))
    read = pd.read_csv(tables.save_csv(table, tmp_path, "results"))
    assert tuple(read) == scoring.COLUMNS and read.accuracy.tolist() == table.accuracy.tolist()


def test_predictions_on_other_data_are_refused(tmp_path, data):
    predict(tmp_path, faces(seed=1, origin="embedded synthetic faces"), "cnn")
    with pytest.raises(EvaluationError, match=r"are of other data \(embedded synthetic faces\)"):
        scoring.score(run(tmp_path, data), "official", "cnn")


def test_predictions_of_other_rows_are_refused(tmp_path, data):
    predict(tmp_path, data, "cnn")
    saved = artifacts.load_predictions(tmp_path, "official", "cnn", 0)
    fewer = artifacts.Predictions(
        *(getattr(saved, name)[:-1] for name in saved.__dataclass_fields__)
    )
    record = artifacts.read_record(tmp_path, "official", "cnn", 0)
    artifacts.save_predictions(tmp_path, "official", "cnn", 0, fewer, record)
    with pytest.raises(EvaluationError, match="its test rows are not those of the split"):
        scoring.score(run(tmp_path, data), "official", "cnn")


def test_rows_in_any_order_meet_their_labels(tmp_path, data):
    predict(tmp_path, data, "cnn", wrong=7)
    saved = artifacts.load_predictions(tmp_path, "official", "cnn", 0)
    order = np.random.default_rng(0).permutation(len(saved.row_ids))
    mixed = artifacts.Predictions(
        *(getattr(saved, name)[order] for name in saved.__dataclass_fields__)
    )
    artifacts.save_predictions(
        tmp_path, "official", "cnn", 0, mixed, artifacts.read_record(tmp_path, "official", "cnn", 0)
    )
    scored = scoring.score(run(tmp_path, data), "official", "cnn")
    assert scored.right.mean() == pytest.approx(0.9)
    assert np.array_equal(scored.faces.labels[scored.positions], scored.labels)


def test_a_run_on_a_subset_is_scored_on_that_subset(tmp_path, data):
    predict(tmp_path, datasets.subset(data, 21), "cnn", subset=21)
    assert len(scoring.score(run(tmp_path, data), "official", "cnn").labels) == 21


def test_the_run_that_fits_the_data_is_found_published_first(tmp_path, monkeypatch, data):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    other = faces(seed=1, origin="embedded synthetic faces")
    predict(tmp_path / "full", data, "cnn")
    predict(tmp_path / "published", data, "cnn")
    predict(tmp_path / "quick", other, "cnn")
    assert scoring.open_run(data).profile == "published"
    assert scoring.open_run(data, "full").folder == tmp_path / "full"
    assert scoring.open_run(other).profile == "quick"
    with pytest.raises(
        EvaluationError, match=r"outputs/: no predictions made on these data .*run_all"
    ):
        scoring.open_run(faces(seed=2))
    with pytest.raises(EvaluationError, match=r"outputs/quick: no predictions made on these data"):
        scoring.open_run(data, "quick")


def test_predictions_belong_to_every_copy_of_fer2013_in_file_order(data, monkeypatch):
    record = {"data": {"origin": "FER2013, 177 faces differ", "fingerprint": "of another copy"}}
    for in_order in (True, False):
        monkeypatch.setattr(scoring.fer2013, "rows_agree", lambda faces, answer=in_order: answer)
        assert scoring.made_on(record, data) is in_order
    assert not scoring.made_on(record, faces(origin="embedded synthetic faces"))


def test_a_split_without_predictions_says_what_to_do(tmp_path, data):
    predict(tmp_path, data, "cnn")
    with pytest.raises(
        EvaluationError, match="no predictions on pooled_64_16_20 with seed 0; execute a notebook"
    ):
        scoring.score_all(run(tmp_path, data), "pooled_64_16_20")


def test_the_catalogue_lists_plain_networks_before_hybrids_and_aggregates_last():
    names = [
        name
        for name, entry in scoring.catalogue().items()
        if entry.system == "A" and not name.endswith("_published")
    ]
    assert names[:6] == ["cnn", "sift_cnn", "dsift_cnn", "vgg", "sift_vgg", "dsift_vgg"]
    assert names[-6:] == [
        "cnn+sift_cnn",
        "cnn+dsift_cnn",
        "aggregated_cnn",
        "vgg+sift_vgg",
        "vgg+dsift_vgg",
        "aggregated_vgg",
    ]
    assert list(scoring.catalogue())[-1] == "study_ensemble"
