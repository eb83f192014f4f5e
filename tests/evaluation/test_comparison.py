"""Systems against each other on the same faces: before and after a change, with few training faces
and many."""

import numpy as np
import pandas as pd
import pytest
from made_up import faces, predict, run

from fercore import artifacts
from fercore.config import parameters
from fercore.evaluation import aggregates, comparison, metrics


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
    aggregates.save_all(made.folder, "official")
    assert comparison.changes(made).set_index("after").views["vgg+sift_vgg"] == 2
    other = artifacts.prediction_path(made.folder, "official", "sift_vgg", 0).with_suffix(".json")
    other.write_text(other.read_text().replace('"seed"', '"views": 10, "seed"'))
    aggregates.save_all(made.folder, "official")
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


def learnt(percent, network, seed, gain=None, accuracy=80.0, recipe="study"):
    """A row of the table of few faces."""
    key = {"percent": percent, "network": network, "recipe": recipe, "seed": seed}
    row = {"data": "FER2013", "faces": 7 * percent, "epochs": 3, "accuracy": accuracy}
    return key | row | {"gain": gain, "together": 1.0}


def curve(*rows):
    return pd.DataFrame(list(rows), columns=comparison.CURVE)


def test_rows_join_the_learning_curve_in_place_of_their_like(tmp_path):
    first = curve(learnt(100, "cnn", 0), learnt(10, "cnn", 0))
    table = comparison.add_to_curve(tmp_path, first, data="FER2013")
    assert table.percent.tolist() == [10, 100]
    again = curve(learnt(10, "cnn", 0, accuracy=85.0), learnt(10, "cnn", 0, recipe="other"))
    comparison.add_to_curve(tmp_path, again, data="FER2013")
    read = comparison.read_curve(tmp_path)
    assert read.recipe.tolist() == ["other", "study", "study"]
    assert read.accuracy.tolist() == [80, 85, 80]


def test_rows_of_other_data_do_not_stay_in_the_curve(tmp_path):
    drawn = curve(learnt(5, "cnn", 0)).assign(data="embedded synthetic faces")
    comparison.add_to_curve(tmp_path, drawn, data="embedded synthetic faces")
    table = comparison.add_to_curve(tmp_path, curve(learnt(10, "cnn", 0)), data="FER2013")
    assert table.percent.tolist() == [10] and set(table.data) == {comparison.FER2013}
    assert comparison.add_to_curve(tmp_path, curve(), data="none of these").empty


def test_the_curve_as_text_has_a_row_a_size_and_recipe():
    rows = [learnt(10, "dsift_cnn", seed, gain) for seed, gain in ((0, 10.0), (1, 0.0))]
    text = comparison.curve_text(curve(*rows, learnt(100, "cnn", 0)))
    text = text.map(lambda value: value.replace("\u00a0", " "))
    sizes = text[["training faces", "recipe"]].to_numpy().tolist()
    assert sizes == [["70", "study"], ["700", "study"]]
    assert text.dsift_cnn.tolist() == ["+5.0 (+10.0, +0.0)", ""]
    assert text["cnn + another cnn"].tolist() == ["", "+1.0"]
