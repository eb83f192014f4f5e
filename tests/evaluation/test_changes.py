"""Networks before and after a change, on the same faces."""

import numpy as np
import pandas as pd
import pytest
from made_up import faces, predict, run

from fercore import artifacts
from fercore.config import parameters
from fercore.evaluation import changes, metrics


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
    table = changes.collect(made)
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
    pd.testing.assert_frame_equal(pd.read_csv(changes.path(made.folder)), table)


def test_other_data_have_no_published_gain(tmp_path):
    data = faces(origin="embedded synthetic faces")
    for name in ("cnn", "dsift_cnn"):
        predict(tmp_path, data, name, split="pooled_64_16_20")
    table = changes.collect(run(tmp_path, data))
    assert table.published.isna().all()
    assert "published gain" not in changes.as_text(table, "descriptor")


def test_where_one_averages_more_views_one_view_is_compared(made):
    path = artifacts.prediction_path(made.folder, "pooled_64_16_20", "cnn", 0).with_suffix(".json")
    path.write_text(path.read_text().replace('"seed"', '"views": 10, "seed"'))
    assert changes.collect(made).views.tolist() == [2, 1]


def test_an_average_has_the_views_of_its_members(made):
    for name in ("vgg", "sift_vgg"):
        predict(made.folder, made.faces, name)
    predict(made.folder, made.faces, "vgg+sift_vgg")
    path = artifacts.prediction_path(made.folder, "official", "vgg+sift_vgg", 0).with_suffix(
        ".json"
    )
    path.write_text(path.read_text().replace('"seed"', '"members": ["vgg", "sift_vgg"], "seed"'))
    assert changes.collect(made).set_index("after").views["vgg+sift_vgg"] == 2
    other = artifacts.prediction_path(made.folder, "official", "sift_vgg", 0).with_suffix(".json")
    other.write_text(other.read_text().replace('"seed"', '"views": 10, "seed"'))
    assert changes.collect(made).set_index("after").views["vgg+sift_vgg"] == 1


def test_as_text(made):
    table = changes.collect(made)
    text = changes.as_text(table, "descriptor")
    assert text.accuracy[0] == "85.0\u00a0→\u00a090.0" and text["published gain"].tolist() == [
        "",
        "-3.6",
    ]
    assert text.gain[0].replace("\u00a0", " ").endswith("] (2 seeds: +0.0 to +10.0)")
    assert changes.as_text(table, "depth").empty


def test_beyond_chance(made):
    for name, wrong in (("shallow_cnn", 40), ("deep_cnn", 5)):
        predict(made.folder, made.faces, name, wrong=wrong)
    counts = changes.beyond_chance(changes.collect(made))
    assert counts.loc["Depth, and twice the epochs"].tolist() == [1, 1, 0]


def test_the_figure_has_a_panel_a_change_and_names_what_lies_beyond(made):
    table = changes.collect(made).assign(published=[-40, 50])
    (axis,) = changes.draw(table).axes
    texts = {text.get_text(): text for text in axis.texts}
    assert "SIFT beside the pixels" in texts and texts["+50"].xy[0] == axis.get_xlim()[1]
    assert texts["-40"].xy[0] == axis.get_xlim()[0]


def test_the_mean_over_seeds_keeps_a_face_together():
    rng = np.random.default_rng(0)
    before, after = rng.random(400) < 0.6, rng.random(400) < 0.7
    once, twice = (
        metrics.accuracy_change(before, after),
        metrics.accuracy_change([before] * 2, [after] * 2),
    )
    assert twice == pytest.approx(once, abs=0.4)  # the same faces twice tell no more than once
    assert once[0] == pytest.approx(100 * (after.mean() - before.mean()))


@pytest.mark.parametrize(
    "content, words",
    [
        ("sift: {title: SIFT}", "changes.yaml: sift: needs a `title` and `pairs`"),
        ("sift: {title: SIFT, pairs: [[cnn]]}", "needs a `title` and `pairs`"),
        (
            "sift: {title: SIFT, pairs: 5}",
            r"changes.yaml: sift: pairs is 5, list\[list\[str\]\] expected",
        ),
        (
            "sift: {title: SIFT, pairs: [[cnn, [vgg]]]}",
            r"changes.yaml: sift: pairs is \['vgg'\], str expected",
        ),
        (
            "sift: {title: SIFT, pairs: [[cnn, sift_cn]]}",
            "'sift_cn' is no network or aggregate; did you mean 'sift_cnn'?",
        ),
    ],
)
def test_a_bad_file_is_refused(tmp_path, content, words):
    path = tmp_path / "changes.yaml"
    path.write_text(content)
    with pytest.raises(parameters.ParameterError, match=words):
        changes.read(path)


def test_pairs_stand_once():
    pairs = [(key, pair) for key, change in parameters.changes().items() for pair in change.pairs]
    assert len(set(pairs)) == len(pairs)
