"""Systems against each other on the same faces: aggregates and members, before and after a change,
with few training faces and many."""

import shutil

import numpy as np
import pandas as pd
import pytest
from made_up import faces, predict, run

from fercore import artifacts
from fercore.config import parameters
from fercore.evaluation import aggregates, comparison, metrics, scoring


@pytest.fixture
def compared(tmp_path):
    """cnn errs on 10 of 70 faces by one class, sift_cnn on the first 20 by two, their mean on the
    first 10."""
    data = faces()
    predict(tmp_path, data, "cnn", wrong=10)
    predict(tmp_path, data, "sift_cnn", wrong=20, shift=2)
    aggregates.save_all(tmp_path, "official")
    both = [
        scoring.score_all(run(tmp_path, data), "official", part=part)
        for part in ("test", "validation")
    ]
    return both


def test_aggregates_are_compared_with_the_member_best_on_validation(compared):
    test, validation = compared
    row = comparison.against_best_member(test, validation).iloc[0]
    assert row["best member"] == "cnn"
    assert row["accuracy"] - row["member's"] == pytest.approx(row["difference"])
    assert row["only aggregate right"] - row["only member right"] == pytest.approx(
        0.7 * row["difference"]
    )
    assert row["p mid"] == pytest.approx(row["p mid, Holm"])


@pytest.fixture
def made(tmp_path):
    data = faces()
    for seed, wrong in ((0, 14), (1, 7)):
        predict(tmp_path, data, "cnn", seed=seed, wrong=wrong)
        predict(tmp_path, data, "sift_cnn", seed=seed, wrong=7)
    predict(tmp_path, data, "cnn", split="pooled_64_16_20", wrong=3)
    predict(tmp_path, data, "dsift_cnn", split="pooled_64_16_20")
    predict(tmp_path, data, "sift_cnn", seed=2)
    return run(tmp_path, data)


def test_pairs_are_compared_on_every_split_by_the_seeds_that_both_have(made):
    table = comparison.changes(made)
    assert table[["change", "before", "after", "split", "seeds"]].to_numpy().tolist() == [
        ["descriptor", "cnn", "sift_cnn", "official", 2],
        ["descriptor", "cnn", "dsift_cnn", "pooled_64_16_20", 1],
    ]
    first = table.iloc[0]
    assert (first.accuracy_before, first.accuracy_after, first.gain, first.least, first.most) == (
        85,
        90,
        5,
        0,
        10,
    )
    assert first.low < 5 < first.high and first.n == 70 and first.views == 2
    assert pd.isna(first.published) and table.published[1] == pytest.approx(58.99 - 62.55)
    pd.testing.assert_frame_equal(pd.read_csv(made.folder / "tables" / "changes.csv"), table)


def test_other_data_have_no_published_gain(tmp_path):
    data = faces(origin="embedded synthetic faces")
    for name in ("cnn", "dsift_cnn"):
        predict(tmp_path, data, name, split="pooled_64_16_20")
    table = comparison.changes(run(tmp_path, data))
    assert table.published.isna().all()
    assert "published gain" not in comparison.changes_text(table, "descriptor")


def test_where_one_averages_more_views_one_view_is_compared(made):
    path = artifacts.prediction_path(made.folder, "pooled_64_16_20", "cnn", 0).with_suffix(".json")
    path.write_text(path.read_text().replace('"seed"', '"views": 10, "seed"'))
    assert comparison.changes(made).views.tolist() == [2, 1]


def test_an_average_has_the_views_of_its_members(made):
    for name in ("vgg", "sift_vgg"):
        predict(made.folder, made.faces, name)
    predict(made.folder, made.faces, "vgg+sift_vgg")
    path = artifacts.prediction_path(made.folder, "official", "vgg+sift_vgg", 0).with_suffix(
        ".json"
    )
    path.write_text(path.read_text().replace('"seed"', '"members": ["vgg", "sift_vgg"], "seed"'))
    assert comparison.changes(made).set_index("after").views["vgg+sift_vgg"] == 2
    other = artifacts.prediction_path(made.folder, "official", "sift_vgg", 0).with_suffix(".json")
    other.write_text(other.read_text().replace('"seed"', '"views": 10, "seed"'))
    assert comparison.changes(made).set_index("after").views["vgg+sift_vgg"] == 1


def test_as_text(made):
    table = comparison.changes(made)
    text = comparison.changes_text(table, "descriptor")
    assert text.accuracy[0] == "85.0\u00a0→\u00a090.0" and text["published gain"].tolist() == [
        "",
        "-3.6",
    ]
    assert text.gain[0].replace("\u00a0", " ").endswith("] (2 seeds: +0.0 to +10.0)")
    assert comparison.changes_text(table, "depth").empty


def test_the_mean_over_seeds_keeps_a_face_together():
    rng = np.random.default_rng(0)
    before, after = rng.random(400) < 0.6, rng.random(400) < 0.7
    once, twice = (
        metrics.accuracy_change(before, after),
        metrics.accuracy_change([before] * 2, [after] * 2),
    )
    assert twice == pytest.approx(once, abs=0.4)  # the same faces twice tell no more than once
    assert once[0] == pytest.approx(100 * (after.mean() - before.mean()))


def test_pairs_stand_once():
    pairs = [(key, pair) for key, change in parameters.changes().items() for pair in change.pairs]
    assert pairs and all(pairs.count(pair) == 1 for pair in pairs)


@pytest.fixture
def learnt(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn", split="official_10_percent", wrong=14)
    predict(tmp_path, data, "dsift_cnn", split="official_10_percent", wrong=7)
    predict(tmp_path, data, "cnn", wrong=7)
    predict(tmp_path, data, "cnn", split="pooled_64_16_20")
    return run(tmp_path, data)


def test_a_row_a_share_network_and_seed(learnt):
    table = comparison.learning_curve(learnt)
    assert list(zip(table.percent, table.network, strict=True)) == [
        (10, "cnn"),
        (10, "dsift_cnn"),
        (100, "cnn"),
    ]
    assert table.accuracy.tolist() == [80, 90, 90] and table.faces.tolist() == [7, 7, 70]
    assert set(table.recipe) == {"study"} and set(table.epochs) == {3}
    assert table.gain[1] == pytest.approx(10) and table.gain_low[1] <= 10 <= table.gain_high[1]
    assert table.gain.isna().tolist() == [True, False, True]


def test_the_table_outlives_its_predictions(learnt):
    first = comparison.learning_curve(learnt)
    shutil.rmtree(learnt.folder / "predictions" / "official_10_percent")
    again = comparison.learning_curve(learnt)
    assert len(again) == len(first) and again.accuracy.tolist() == first.accuracy.tolist()


def test_rows_of_other_data_do_not_stay(learnt):
    comparison.learning_curve(run(learnt.folder, learnt.faces))
    drawn = comparison.read_curve(learnt.folder).assign(data="embedded synthetic faces", percent=5)
    drawn.to_csv(comparison.curve_path(learnt.folder), index=False)
    table = comparison.learning_curve(learnt)
    assert set(table.percent) == {10, 100} and set(table.data) == {comparison.FER2013}


def test_the_control_is_the_plain_network_of_another_seed(learnt):
    assert comparison.learning_curve(learnt).together.isna().tolist() == [True, False, True]
    predict(learnt.folder, learnt.faces, "cnn", seed=1, wrong=21)
    table = comparison.learning_curve(learnt).set_index(["percent", "network", "seed"])
    ours, other = table.loc[(100, "cnn", 0)], table.loc[(100, "cnn", 1)]
    assert (
        other.together > 0 >= ours.together
    ) and other.together_low <= other.together <= other.together_high
    assert table.gain.drop((10, "dsift_cnn", 0)).isna().all()


def test_a_recipe_has_rows_of_its_own_and_is_compared_with_itself(learnt):
    comparison.learning_curve(learnt)
    path = artifacts.prediction_path(learnt.folder, "official_10_percent", "cnn", 0).with_suffix(
        ".json"
    )
    path.write_text(path.read_text().replace('"study"', '"other"'))
    table = comparison.learning_curve(learnt)
    assert list(zip(table.percent, table.network, table.recipe, strict=True)) == [
        (10, "cnn", "other"),
        (10, "cnn", "study"),
        (10, "dsift_cnn", "study"),
        (100, "cnn", "study"),
    ]
    assert table.gain.isna().all() and comparison.commonest_recipe(table) == "study"


def test_shares_are_sorted_and_end_with_all():
    assert list(comparison.shares().values()) == [5, 10, 25, 50, 100]


def test_as_text_has_a_row_a_size_and_recipe(learnt):
    predict(learnt.folder, learnt.faces, "dsift_cnn", split="official_10_percent", seed=1, wrong=7)
    predict(learnt.folder, learnt.faces, "cnn", split="official_10_percent", seed=1, wrong=7)
    text = comparison.curve_text(comparison.learning_curve(learnt)).map(
        lambda value: value.replace("\u00a0", " ")
    )
    assert text[["training faces", "recipe"]].to_numpy().tolist() == [
        ["7", "study"],
        ["70", "study"],
    ]
    assert text.dsift_cnn.tolist() == ["+5.0 (+10.0, +0.0)", ""] and "cnn + another cnn" in text
