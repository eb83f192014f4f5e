"""Accuracy by number of training faces: rows, gains, and a table that outlives its predictions."""

import shutil

import pandas as pd
import pytest
from made_up import faces, predict, run

from fercore import artifacts
from fercore.evaluation import learning_curve


@pytest.fixture
def made(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn", split="official_10_percent", wrong=14)
    predict(tmp_path, data, "dsift_cnn", split="official_10_percent", wrong=7)
    predict(tmp_path, data, "cnn", wrong=7)
    predict(tmp_path, data, "cnn", split="pooled_64_16_20")
    return run(tmp_path, data)


def test_a_row_a_share_network_and_seed(made):
    table = learning_curve.collect(made)
    assert list(zip(table.percent, table.network, strict=True)) == [
        (10, "cnn"),
        (10, "dsift_cnn"),
        (100, "cnn"),
    ]
    assert table.accuracy.tolist() == [80, 90, 90] and table.faces.tolist() == [7, 7, 70]
    assert set(table.recipe) == {"study"} and set(table.epochs) == {3}
    assert table.gain[1] == pytest.approx(10) and table.gain_low[1] <= 10 <= table.gain_high[1]
    assert table.gain.isna().tolist() == [True, False, True]


def test_the_table_outlives_its_predictions(made):
    first = learning_curve.collect(made)
    shutil.rmtree(made.folder / "predictions" / "official_10_percent")
    again = learning_curve.collect(made)
    assert len(again) == len(first) and again.accuracy.tolist() == first.accuracy.tolist()


def test_rows_of_other_data_do_not_stay(made):
    learning_curve.collect(run(made.folder, made.faces))
    drawn = learning_curve.read(made.folder).assign(data="embedded synthetic faces", percent=5)
    drawn.to_csv(learning_curve.path(made.folder), index=False)
    table = learning_curve.collect(made)
    assert set(table.percent) == {10, 100} and set(table.data) == {
        learning_curve.data_of(made.faces)
    }


def test_means_over_seeds(made):
    predict(made.folder, made.faces, "cnn", seed=1, wrong=21)
    means = learning_curve.by_size(learning_curve.collect(made), "accuracy").set_index(
        ["network", "percent"]
    )
    assert (
        means.loc[("cnn", 100), "mean"] == pytest.approx(80)
        and means.loc[("cnn", 100), "seeds"] == 2
    )
    assert means.loc[("cnn", 100), "deviation"] == pytest.approx(14.14, abs=0.01)


def test_the_control_is_the_plain_network_of_another_seed(made):
    assert learning_curve.collect(made).together.isna().tolist() == [True, False, True]
    predict(made.folder, made.faces, "cnn", seed=1, wrong=21)
    table = learning_curve.collect(made).set_index(["percent", "network", "seed"])
    ours, other = table.loc[(100, "cnn", 0)], table.loc[(100, "cnn", 1)]
    assert (
        other.together > 0 >= ours.together
    ) and other.together_low <= other.together <= other.together_high
    assert table.gain.drop((10, "dsift_cnn", 0)).isna().all()


def test_a_recipe_has_rows_of_its_own_and_is_compared_with_itself(made):
    learning_curve.collect(made)
    path = artifacts.prediction_path(made.folder, "official_10_percent", "cnn", 0).with_suffix(
        ".json"
    )
    path.write_text(path.read_text().replace('"study"', '"other"'))
    table = learning_curve.collect(made)
    assert list(zip(table.percent, table.network, table.recipe, strict=True)) == [
        (10, "cnn", "other"),
        (10, "cnn", "study"),
        (10, "dsift_cnn", "study"),
        (100, "cnn", "study"),
    ]
    assert table.gain.isna().all() and learning_curve.commonest_recipe(table) == "study"


def test_gains_by_another_recipe_are_drawn_apart_and_hollow(made):
    table = learning_curve.collect(made)
    other = table[table.network == "dsift_cnn"].assign(
        recipe="other", percent=100, faces=70, gain=2.0, gain_low=1.0, gain_high=3.0
    )
    figure = learning_curve.draw_gains(pd.concat([table, other], ignore_index=True))
    axes = figure.axes
    assert [tick.get_text() for tick in axes[1].get_xticklabels()] == ["7", "70\nby other"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "dsift_cnn",
        "hollow: another recipe than study",
    ]
    assert axes[0].get_ylabel() == "gain over cnn (points)"
    lines = [container.lines[0] for container in axes[0].containers]
    assert [line.get_ydata().tolist() for line in lines] == [[pytest.approx(10)], [2]]
    assert [line.get_markerfacecolor() for line in lines] == [
        learning_curve.tones()["dsift_cnn"],
        "white",
    ]


def test_columns_of_as_many_faces_name_their_recipes_and_networks_are_in_order(made):
    row = {
        "percent": 100,
        "faces": 70,
        "seed": 0,
        "together": 1.0,
        "together_low": 0.0,
        "together_high": 2.0,
    }
    rows = [
        row | {"network": network, "recipe": recipe, "percent": percent}
        for percent in (10, 100)
        for network in ("sift_cnn", "cnn")
        for recipe in ("study", "other")
        if percent == 100 or recipe == "study"
    ]
    figure = learning_curve.draw_gains(pd.DataFrame(rows, columns=learning_curve.COLUMNS))
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == [
        "70\nby study",
        "70\nby other",
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == [
        "another cnn",
        "sift_cnn",
    ]


def test_accuracies_by_another_recipe_are_hollow_points_off_the_line(made):
    table = learning_curve.collect(made)
    other = table[table.network == "dsift_cnn"].assign(
        recipe="other", percent=100, faces=70, accuracy=95.0
    )
    (axis,) = learning_curve.draw_accuracy(pd.concat([table, other], ignore_index=True), n=70).axes
    drawn = [
        (line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in axis.lines
        if len(line.get_xdata())
    ]
    assert drawn == [([7, 70], [80, 90]), ([7], [90]), ([70], [95])]
    legend = axis.get_legend()
    assert legend.get_title().get_text() == "recipe study"
    assert [text.get_text() for text in legend.get_texts()] == [
        "cnn",
        "dsift_cnn",
        "hollow: recipe other",
    ]
    assert (
        axis.get_title(loc="left").endswith("n = 70 test faces")
        and "mean over seeds" in axis.get_ylabel()
    )


def test_without_rows_there_is_no_recipe(tmp_path):
    table = learning_curve.read(tmp_path)
    assert learning_curve.commonest_recipe(table) == "none"
    assert not learning_curve.draw_gains(table).axes[0].containers


def test_shares_are_sorted_and_end_with_all():
    assert list(learning_curve.shares().values()) == [5, 10, 25, 50, 100]


def test_as_text_has_a_row_a_size_and_recipe(made):
    predict(made.folder, made.faces, "dsift_cnn", split="official_10_percent", seed=1, wrong=7)
    predict(made.folder, made.faces, "cnn", split="official_10_percent", seed=1, wrong=7)
    text = learning_curve.as_text(learning_curve.collect(made)).map(
        lambda value: value.replace("\u00a0", " ")
    )
    assert text[["training faces", "recipe"]].to_numpy().tolist() == [
        ["7", "study"],
        ["70", "study"],
    ]
    assert text.dsift_cnn.tolist() == ["+5.0 (+10.0, +0.0)", ""] and "cnn + another cnn" in text
