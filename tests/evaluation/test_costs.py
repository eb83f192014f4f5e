"""What trainings cost, and how much sooner they reach what was published."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import faces, predict, run

from fercore import artifacts
from fercore.evaluation import aggregation, costs
from fercore.training import speed


@pytest.fixture
def made(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn", seed=0)
    predict(tmp_path, data, "sift_cnn", seed=0)
    aggregation.save_all(tmp_path, "official")
    history = pd.DataFrame({"epoch": [1, 2, 3], "seconds": 20.0, "val_accuracy": [0.5, 0.63, 0.68]})
    artifacts.write_atomically(
        artifacts.history_path(tmp_path, "official", "cnn", 0), history.to_csv(index=False)
    )
    return run(tmp_path, data)


def amend(made, **values):
    record = artifacts.read_record(made.folder, "official", "cnn", 0)
    path = artifacts.prediction_path(made.folder, "official", "cnn", 0).with_suffix(".json")
    artifacts.write_json(path, record | values)


def test_a_row_a_training_none_for_aggregates(made):
    table = costs.trainings(made, watts_per_core=6)
    assert list(table.network) == ["cnn", "sift_cnn"]
    row = table.iloc[0]
    assert row.gflops == pytest.approx(6 * 2000 * 500 / 1e9)
    assert np.isnan(row.limit_share)
    assert row.watt_hours == pytest.approx(60 * 2 * 6 / 3600)
    assert costs.readable(table).training.iloc[0] == "60\u00a0s"


def test_a_readable_row_takes_a_line_and_few_columns(made):
    amend(
        made,
        epochs=80,
        best_epoch=72,
        matrix_product_macs=6_000_000,
        recipe="study",
        precision="bfloat16",
        processor="AMD EPYC",
        cores=2,
        device="cpu",
    )
    table = costs.trainings(made)
    row = costs.readable(table).iloc[0]
    assert not any(" " in value for value in row if isinstance(value, str))
    said = {
        name: value.replace("\u00a0", " ") for name, value in row.items() if isinstance(value, str)
    }
    assert (said["best epoch"], said["of the limit"], said["hardware"]) == (
        "72 of 80",
        "50 %",
        "AMD EPYC, 2 cores",
    )
    svm = table.assign(recipe=["study", ""], precision="float32")
    assert [
        ", float32" in text.replace("\u00a0", " ") for text in costs.readable(svm).hardware
    ] == [True, False]


def test_share_of_the_limit_counts_small_faces_by_their_area(made):
    amend(made, matrix_product_macs=6_000_000)
    assert costs.trainings(made).limit_share.iloc[0] == pytest.approx(0.5)
    amend(
        made,
        matrix_product_macs=6_000_000,
        recipe_parameters={"small_side": 24, "small_share": 0.5, "crop": None},
    )
    assert costs.trainings(made).limit_share.iloc[0] == pytest.approx(0.5 * 0.625)


def test_energy_of_a_gpu_is_not_guessed(made):
    amend(made, device="gpu")
    row = costs.trainings(made).iloc[0]
    assert np.isnan(row.watt_hours) and np.isnan(row.limit_share)


def test_what_a_gpu_had_a_part_in_is_no_milestone(made):
    amend(made, device="gpu")
    assert "cnn" not in set(costs.milestones(made).name)


def test_milestones_are_epochs_and_the_end(made):
    found = costs.milestones(made)
    cnn = found[found.name == "cnn"]
    assert list(cnn.seconds) == [20, 40, 60, 60]
    assert list(cnn.accuracy.round(1))[:3] == [50, 63, 68]
    both = found[found.name == "cnn+sift_cnn"]
    assert list(both.seconds) == [120] and both.epoch.isna().all()


def test_teachers_come_before_a_distilled_network(made):
    amend(made, teachers=["sift_cnn"])
    found = costs.milestones(made)
    assert list(found[found.name == "cnn"].seconds) == [80, 100, 120, 120]


def test_sooner_takes_what_reached_the_published_accuracy_first():
    reached = pd.DataFrame(
        [("a", 0, 50.0, 1.0, 60.0), ("a", 0, 100.0, 2.0, 67.0), ("b", 0, 70.0, np.nan, 63.0)],
        columns=["name", "seed", "seconds", "epoch", "accuracy"],
    )
    own = pd.DataFrame({"network": ["cnn", "vgg"], "images_per_second": [64.0, 6.4]})
    table = costs.sooner(reached, own, n_faces=100).set_index("published by")
    assert table.loc["cnn", "own way"] == pytest.approx(100)
    assert table.loc["cnn", "reached by"] == "b" and table.loc[
        "cnn", "times as soon"
    ] == pytest.approx(100 / 70)
    assert table.loc["vgg", "reached by"] == "a" and table.loc[
        "vgg", "times as soon"
    ] == pytest.approx(10)
    assert table.loc["aggregated_vgg", "own way"] == pytest.approx(3000)
    assert pd.isna(table.loc["aggregated_vgg", "reached by"])


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")  # of Keras, calling SciPy
def test_own_way_is_timed_and_read_again(tmp_path):
    table = costs.measure_own_way(tmp_path, faces(35), ["shallow_cnn"])
    assert table.images_per_second.iloc[0] > 0
    assert costs.read_own_way(tmp_path).equals(table)
    assert costs.read_own_way(tmp_path / "other").empty
    contempt = replace(faces(35), class_names=tuple("abcdefgh"))
    assert speed.own_way("shallow_cnn", contempt) > 0
    assert (
        speed.own_way("compact", faces(35), filters=(2, 2, 2, 2)) > 0
    )  # which sees 40 of the 48 pixels
