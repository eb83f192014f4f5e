"""Averages of probabilities, and the study's ensemble: weights and members."""

import numpy as np
import pytest
from made_up import faces, predict, run

from fercore import artifacts
from fercore.config import parameters
from fercore.config.parameters import STUDY_ENSEMBLE
from fercore.data import datasets, splits
from fercore.evaluation import aggregates, metrics
from fercore.evaluation.scoring import EvaluationError


def predictions(values, rows=(3, 5)):
    values = np.array(values, np.float16)
    return artifacts.Predictions(
        np.array(rows, np.int32), np.array([1, 2], np.int8), values, values / 2
    )


def test_the_mean_by_hand():
    mean = aggregates.mean([predictions([[1, 0], [0.5, 0.5]]), predictions([[0, 1], [0.5, 0.5]])])
    assert mean.probabilities.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert mean.probabilities_tta.tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert mean.row_ids.tolist() == [3, 5]


@pytest.mark.parametrize("rows", [(5, 3), (3, 6)])
def test_members_of_other_faces_or_order_are_refused(rows):
    with pytest.raises(EvaluationError, match="other faces, or another order"):
        aggregates.mean([predictions([[1, 0], [1, 0]]), predictions([[1, 0], [1, 0]], rows)])


def test_the_six_aggregates_of_system_a_and_those_by_other_recipes():
    found = parameters.aggregates()
    plain = [
        name for name, one in found.items() if one.system == "A" and not name.endswith("_published")
    ]
    assert plain == [
        "cnn+sift_cnn",
        "cnn+dsift_cnn",
        "aggregated_cnn",
        "vgg+sift_vgg",
        "vgg+dsift_vgg",
        "aggregated_vgg",
    ]
    assert found["aggregated_vgg"].published == {"pooled_64_16_20": {"test": 70.37}}


def test_the_ensemble_does_without_imagenet_and_says_so(tmp_path):
    data = faces()
    predict(tmp_path, data, "vgg16_scratch", wrong=4)
    state = aggregates.save_all(tmp_path, "official").set_index("aggregate").state
    assert state["ensemble"] == "not run: no predictions of inception_v1, vgg16_imagenet"
    predict(tmp_path, data, "inception_v1")
    state = aggregates.save_all(tmp_path, "official").set_index("aggregate").state
    assert state["ensemble"] == "saved without vgg16_imagenet"
    record = artifacts.read_record(tmp_path, "official", "ensemble", 0)
    assert record["members"] == ["vgg16_scratch", "inception_v1"] and record["parameters"] == 200
    predict(tmp_path, data, "vgg16_imagenet")
    assert (
        aggregates.save_all(tmp_path, "official").set_index("aggregate").state["ensemble"]
        == "saved"
    )
    record = artifacts.read_record(tmp_path, "official", "ensemble", 0)
    assert record["members"] == ["vgg16_scratch", "inception_v1", "vgg16_imagenet"]


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
    state = aggregates.save_all(tmp_path, "official").set_index("aggregate")
    assert state.loc["cnn+sift_cnn"].tolist() == ["0, 1", "saved"]
    assert state.loc["aggregated_cnn", "seeds"] == "1"
    predict(tmp_path, data, "vgg")
    state = aggregates.save_all(tmp_path, "official").set_index("aggregate")
    assert state.loc["vgg+sift_vgg", "state"] == "not run: no predictions of sift_vgg"
    assert "ensemble" not in state.index and not state.index.str.endswith("_published").any()
    record = artifacts.read_record(tmp_path, "official", "aggregated_cnn", 1)
    assert (record["parameters"], record["macs"], record["train_seconds"]) == (300, 6000, 180)
    assert record["members"] == ["cnn", "sift_cnn", "dsift_cnn"] and record["cores"] == 2


def test_members_that_share_no_seed_are_named(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn", seed=0)
    predict(tmp_path, data, "sift_cnn", seed=1)
    state = aggregates.save_all(tmp_path, "official").set_index("aggregate").state
    assert state["cnn+sift_cnn"] == "not run: no common seed"


def test_members_trained_on_other_faces_stop_with_one_line(tmp_path):
    predict(tmp_path, faces(), "cnn")
    predict(tmp_path, faces(per_usage=77), "sift_cnn")
    with pytest.raises(
        EvaluationError, match=r"cnn\+sift_cnn on official, seed 0: members hold other faces"
    ):
        aggregates.save_all(tmp_path, "official")


def test_averaging_again_writes_the_same_bytes(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn", wrong=3)
    predict(tmp_path, data, "sift_cnn", wrong=5)
    contents = []
    for _ in range(2):
        aggregates.save_all(tmp_path, "official")
        path = artifacts.prediction_path(tmp_path, "official", "cnn+sift_cnn", 0)
        contents.append((path.read_bytes(), path.with_suffix(".json").read_bytes()))
    assert contents[0] == contents[1]


def noisy(labels, rng, strength, temperature=1.0):
    """Log probabilities [3, n] of a network that sees the label through noise."""
    values = strength * np.eye(3)[labels] + rng.normal(size=(len(labels), 3))
    powers = np.exp(values.T / temperature)
    return np.log(powers / powers.sum(0))


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(0).integers(0, 3, 2000)


def test_weights_know_a_guess_from_an_answer_and_undo_a_temperature(labels):
    rng = np.random.default_rng(1)
    good = noisy(labels, rng, 2)
    guess = noisy(np.roll(labels, 1), rng, 2)
    weights = metrics.fit_pool(np.stack([good, guess]), labels)
    assert weights[1] < 0.05 < weights[0]
    timid = metrics.fit_pool(np.stack([good / 2]), labels)
    assert timid[0] == pytest.approx(2 * metrics.fit_pool(np.stack([good]), labels)[0], rel=1e-3)


def test_two_that_err_apart_are_better_than_either(labels):
    rng = np.random.default_rng(2)
    logs = np.stack([noisy(labels, rng, 1.5), noisy(labels, rng, 1.5)])
    alone = [aggregates.cross_validated(logs[[k]], labels) for k in range(2)]
    loss, accuracy = aggregates.cross_validated(logs, labels)
    assert loss < min(one[0] for one in alone) and accuracy > max(one[1] for one in alone) + 2


def test_a_pool_is_chosen_on_validation_faces(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn", wrong=20)
    predict(tmp_path, data, "vgg", wrong=3, seed=1)
    predict(tmp_path, data, "compact", shift=3)
    predict(tmp_path, data, "cnn+vgg")  # an aggregate's name: no candidate
    made = run(tmp_path, data)
    validation = aggregates.candidates(made, "official")
    assert set(validation) == {("cnn", 0), ("vgg", 1), ("compact", 0)}
    pool = aggregates.fitted(validation, aggregates.members(aggregates.grow(validation)))
    assert set(pool) <= set(validation) and all(weight >= 0 for weight in pool.values())
    together = aggregates.pooled(aggregates.candidates(made, "official", part="test"), pool)
    assert np.allclose(together.sum(1), 1, atol=1e-5)


def test_a_pools_record_has_the_sums_of_its_members():
    members = {
        "cnn, seed 0": {"parameters": 100, "train_seconds": 60.0, "device": "cpu", "views": 2},
        "vgg, seed 1": {"parameters": 200, "train_seconds": 90.0, "device": "gpu", "views": 10},
    }
    record = aggregates.combined_record(STUDY_ENSEMBLE, members)
    assert (record["parameters"], record["train_seconds"], record["macs"]) == (300, 150, None)
    assert (record["device"], record["views"]) == ("cpu, gpu", "10, 2")
    assert record["members"] == ["cnn, seed 0", "vgg, seed 1"]


def test_the_smallest_cross_entropy_decides_how_many(tmp_path):
    data = faces()
    for seed in range(3):
        predict(tmp_path, data, "cnn", seed=seed, shift=1 + seed)
    course = aggregates.grow(aggregates.candidates(run(tmp_path, data), "official"))
    assert course["size"].tolist() == [1, 2, 3] and set(course.seed) == {0, 1, 2}
    assert len(aggregates.members(course.assign(cross_entropy=[0.9, 0.8, 0.85]))) == 2
    assert (
        len(aggregates.members(course.assign(cross_entropy=[0.9, 0.80001, 0.8]))) == 2
    )  # the third brings nothing
    assert aggregates.members(course, 2) == list(
        zip(course.network[:2], course.seed[:2], strict=True)
    )


def test_one_network_makes_no_pool(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn")
    with pytest.raises(
        EvaluationError,
        match=r"outputs/made_up: networks on official: 1, .* needs two or more of both",
    ):
        aggregates.candidates(run(tmp_path, data), "official")


def test_networks_of_fewer_faces_stay_outside(tmp_path):
    data = faces()
    for network in ("cnn", "vgg"):
        predict(tmp_path, data, network)
    small = datasets.subset(data, 14)
    predict(tmp_path, small, "compact", subset=14)
    record = artifacts.read_record(tmp_path, "official", "compact", 0)
    record["data"]["fingerprint"] = data.fingerprint
    artifacts.save_predictions(
        tmp_path,
        "official",
        "compact",
        0,
        artifacts.load_predictions(tmp_path, "official", "compact", 0),
        record,
    )
    found = aggregates.candidates(run(tmp_path, data), "official")
    assert set(found) == {("cnn", 0), ("vgg", 0)}
    assert len(found["cnn", 0].labels) == len(splits.divide(data, "official").validation)
