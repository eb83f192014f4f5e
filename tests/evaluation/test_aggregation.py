"""Averages of probabilities, and aggregates against their members."""

import numpy as np
import pytest
from made_up import faces, predict, run

from fercore import artifacts
from fercore.config.parameters import ParameterError
from fercore.evaluation import aggregation, comparison, scoring
from fercore.evaluation.aggregation import AggregationError


def predictions(values, rows=(3, 5)):
    values = np.array(values, np.float16)
    return artifacts.Predictions(
        np.array(rows, np.int32), np.array([1, 2], np.int8), values, values / 2
    )


def test_the_mean_by_hand():
    mean = aggregation.mean([predictions([[1, 0], [0.5, 0.5]]), predictions([[0, 1], [0.5, 0.5]])])
    assert mean.probabilities.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert mean.probabilities_tta.tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert mean.row_ids.tolist() == [3, 5]


@pytest.mark.parametrize("rows", [(5, 3), (3, 6)])
def test_members_of_other_faces_or_order_are_refused(rows):
    with pytest.raises(AggregationError, match="other faces, or another order"):
        aggregation.mean([predictions([[1, 0], [1, 0]]), predictions([[1, 0], [1, 0]], rows)])


def test_the_six_aggregates_of_system_a_and_those_by_other_recipes():
    found = parameters.aggregates()
    plain = [
        name
        for name, one in found.items()
        if one.system == "A" and not name.endswith(("_published", "_longer"))
    ]
    assert plain == [
        "cnn+sift_cnn",
        "cnn+dsift_cnn",
        "aggregated_cnn",
        "vgg+sift_vgg",
        "vgg+dsift_vgg",
        "aggregated_vgg",
    ]
    assert found["aggregated_vgg_longer"].members == (
        "vgg_longer",
        "sift_vgg_longer",
        "dsift_vgg_longer",
    )
    assert found["aggregated_vgg_longer"].published == found["aggregated_vgg"].published
    assert found["aggregated_cnn"].members == ("cnn", "sift_cnn", "dsift_cnn")
    assert found["aggregated_cnn_published"].members == (
        "cnn_published",
        "sift_cnn_published",
        "dsift_cnn_published",
    )
    assert found["aggregated_vgg"].published == {"pooled_64_16_20": {"test": 70.37}}


def test_an_entry_without_members_is_named(tmp_path):
    (tmp_path / "aggregates.yaml").write_text("pair: {members: [cnn]}\n")
    with pytest.raises(AggregationError, match=r"aggregates\.yaml: pair needs `members`"):
        aggregation.read_aggregates(tmp_path / "aggregates.yaml")


def test_optional_members_must_be_members(tmp_path):
    (tmp_path / "aggregates.yaml").write_text("pair: {members: [cnn, vgg], optional: [vgg16]}\n")
    with pytest.raises(
        AggregationError, match=r"aggregates\.yaml: pair has `optional` ones that are none"
    ):
        aggregation.read_aggregates(tmp_path / "aggregates.yaml")


@pytest.mark.parametrize(
    "content, words",
    [
        ("pair: {members: [cnn, vgg", r"aggregates\.yaml, line 1: not YAML"),
        ("- pair", r"aggregates\.yaml: keys and values expected, found list"),
        ("pair: [cnn, vgg]", r"aggregates\.yaml: pair is \['cnn', 'vgg'\], dict expected"),
        (
            "pair: {members: cnn}",
            r"aggregates\.yaml: pair: members is 'cnn', list\[str\] expected; write \[cnn\]",
        ),
        ("pair: {members: [cnn, 3]}", r"aggregates\.yaml: pair: members is 3, str expected"),
        (
            "pair: {members: [cnn, vgg], optionl: [vgg]}",
            r"aggregates\.yaml: pair: unknown key 'optionl'; did you mean",
        ),
    ],
)
def test_a_file_of_aggregates_that_is_not_understood_is_one_line(tmp_path, content, words):
    (tmp_path / "aggregates.yaml").write_text(content)
    with pytest.raises(ParameterError, match=words):
        aggregation.read_aggregates(tmp_path / "aggregates.yaml")


def test_the_ensemble_does_without_imagenet_and_says_so(tmp_path):
    data = faces()
    predict(tmp_path, data, "vgg16_scratch", wrong=4)
    state = aggregation.save_all(tmp_path, "official").set_index("aggregate").state
    assert state["ensemble"] == "not run: no predictions of inception_v1, vgg16_imagenet"
    predict(tmp_path, data, "inception_v1")
    state = aggregation.save_all(tmp_path, "official").set_index("aggregate").state
    assert state["ensemble"] == "saved without vgg16_imagenet"
    record = artifacts.read_record(tmp_path, "official", "ensemble", 0)
    assert record["members"] == ["vgg16_scratch", "inception_v1"] and record["missing"] == [
        "vgg16_imagenet"
    ]
    assert list(record["member_epochs"]) == record["members"] and record["parameters"] == 200
    predict(tmp_path, data, "vgg16_imagenet")
    assert (
        aggregation.save_all(tmp_path, "official").set_index("aggregate").state["ensemble"]
        == "saved"
    )
    assert "missing" not in artifacts.read_record(tmp_path, "official", "ensemble", 0)


def test_aggregates_are_saved_a_seed_each_and_the_missing_member_named(tmp_path):
    data = faces()
    for network, seed in (
        ("cnn", 0),
        ("cnn", 1),
        ("sift_cnn", 0),
        ("sift_cnn", 1),
        ("dsift_cnn", 1),
    ):
        predict(tmp_path, data, network, seed=seed)
    state = aggregation.save_all(tmp_path, "official").set_index("aggregate")
    assert state.loc["cnn+sift_cnn"].tolist() == ["0, 1", "saved"]
    assert state.loc["aggregated_cnn", "seeds"] == "1"
    predict(tmp_path, data, "vgg")
    state = aggregation.save_all(tmp_path, "official").set_index("aggregate")
    assert state.loc["vgg+sift_vgg", "state"] == "not run: no predictions of sift_vgg"
    assert "ensemble" not in state.index and not state.index.str.endswith("_published").any()
    record = artifacts.read_record(tmp_path, "official", "aggregated_cnn", 1)
    assert (record["parameters"], record["macs"], record["train_seconds"]) == (300, 6000, 180)
    assert record["members"] == ["cnn", "sift_cnn", "dsift_cnn"] and record["cores"] == 2


def test_members_that_share_no_seed_are_named(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn", seed=0)
    predict(tmp_path, data, "sift_cnn", seed=1)
    state = aggregation.save_all(tmp_path, "official").set_index("aggregate").state
    assert state["cnn+sift_cnn"] == "not run: members share no seed"


def test_members_trained_on_other_faces_stop_with_one_line(tmp_path):
    predict(tmp_path, faces(), "cnn")
    predict(tmp_path, faces(per_split=77), "sift_cnn")
    with pytest.raises(
        AggregationError, match=r"cnn\+sift_cnn on official, seed 0: members hold other faces"
    ):
        aggregation.save_all(tmp_path, "official")


def test_averaging_again_writes_the_same_bytes(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn", wrong=3)
    predict(tmp_path, data, "sift_cnn", wrong=5)
    contents = []
    for _ in range(2):
        aggregation.save_all(tmp_path, "official")
        path = artifacts.prediction_path(tmp_path, "official", "cnn+sift_cnn", 0)
        contents.append((path.read_bytes(), path.with_suffix(".json").read_bytes()))
    assert contents[0] == contents[1]


@pytest.fixture
def compared(tmp_path):
    """cnn errs on 10 of 70 faces by one class, sift_cnn on the first 20 by two, their mean on the
    first 10."""
    data = faces()
    predict(tmp_path, data, "cnn", wrong=10)
    predict(tmp_path, data, "sift_cnn", wrong=20, shift=2)
    aggregation.save_all(tmp_path, "official")
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


def test_agreement_and_oracle_by_hand(compared):
    test, _ = compared
    singles = {name: test[name] for name in ("cnn", "sift_cnn")}
    assert comparison.agreement(singles) == pytest.approx(np.array([[1, 50 / 70], [50 / 70, 1]]))
    row = comparison.members_together(test).iloc[0]
    assert row["some member right"] == pytest.approx(100 * 60 / 70)
    assert row["all members right"] == pytest.approx(100 * 50 / 70)
    assert row["members' mean"] == pytest.approx(100 * 55 / 70)


def test_class_changes_compare_with_the_plain_network(compared):
    test, _ = compared
    changes = comparison.class_changes(test)["cnn"]["sift_cnn\nagainst cnn"]
    assert (changes.change <= 0).all() and changes.n.sum() == 70


def test_nothing_to_compare_gives_empty_tables(compared):
    test, validation = compared
    alone = {"cnn": test["cnn"]}
    assert comparison.against_best_member(alone, validation).empty
    assert comparison.members_together(alone).empty
    assert comparison.class_changes(alone) == {}


def test_shared_mistakes_and_votes_are_counted(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn", wrong=10)
    predict(tmp_path, data, "sift_cnn", wrong=5)
    test = scoring.score_all(run(tmp_path, data), "official")
    assert comparison.shared_mistakes(test).tolist() == [[1.0, 0.5], [1.0, 1.0]]
    agreeing = np.where(test["cnn"].right, 9, 3)
    table = comparison.by_votes(test, agreeing).set_index("network")
    assert list(table.columns) == [
        "8 votes or more (n = 60)",
        "5 to 7 votes (n = 0)",
        "0 to 4 votes (n = 10)",
    ]
    assert (
        table.loc["cnn"].tolist()[::2] == [100.0, 0.0] and table.loc["sift_cnn"].tolist()[2] == 50.0
    )
