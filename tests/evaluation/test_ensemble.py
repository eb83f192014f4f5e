"""The study's ensemble: weights, choice of members, what is saved."""

import dataclasses

import numpy as np
import pytest
from made_up import faces, predict, run

from fercore import artifacts
from fercore.data import splits
from fercore.config import parameters
from fercore.evaluation import ensemble, scoring


def noisy(labels, rng, strength, temperature=1.0):
    """Log probabilities [n, 3] of a network that sees the label through noise."""
    values = strength * np.eye(3)[labels] + rng.normal(size=(len(labels), 3))
    return np.log(np.exp(values / temperature) / np.exp(values / temperature).sum(1, keepdims=True))


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(0).integers(0, 3, 2000)


def test_weights_know_a_guess_from_an_answer_and_undo_a_temperature(labels):
    rng = np.random.default_rng(1)
    good = noisy(labels, rng, 2)
    guess = noisy(np.roll(labels, 1), rng, 2)
    weights = ensemble.fit(np.stack([good, guess]), labels)
    assert weights[1] < 0.05 < weights[0]
    timid = ensemble.fit(np.stack([good / 2]), labels)
    assert timid[0] == pytest.approx(2 * ensemble.fit(np.stack([good]), labels)[0], rel=1e-3)


def test_two_that_err_apart_are_better_than_either(labels):
    rng = np.random.default_rng(2)
    logs = np.stack([noisy(labels, rng, 1.5), noisy(labels, rng, 1.5)])
    alone = [ensemble.cross_validated(logs[[k]], labels) for k in range(2)]
    loss, accuracy = ensemble.cross_validated(logs, labels)
    assert loss < min(one[0] for one in alone) and accuracy > max(one[1] for one in alone) + 2


def test_a_pool_is_chosen_on_validation_faces_and_saved(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn", wrong=20)
    predict(tmp_path, data, "vgg", wrong=3, seed=1)
    predict(tmp_path, data, "compact", shift=3)
    predict(tmp_path, data, "cnn+vgg")  # an aggregate's name: no candidate
    made = run(tmp_path, data)
    pool = ensemble.save(made, "official")
    assert set(pool.members) <= {("cnn", 0), ("vgg", 1), ("compact", 0)}
    scored = scoring.score(made, "official", parameters.STUDY_ENSEMBLE)
    assert np.allclose(scored.probabilities.sum(1), 1, atol=1e-2)
    test = ensemble.candidates(made, "official", part="test")
    assert np.allclose(scored.probabilities, ensemble.pooled(test, pool), atol=3e-3)
    worth = ensemble.contributions(ensemble.candidates(made, "official"), pool)
    assert worth.weight.tolist() == pool.weights.tolist() and (worth.alone > 90).all()
    record = artifacts.read_record(tmp_path, "official", parameters.STUDY_ENSEMBLE, 0)
    assert record["members"] == [f"{network}, seed {seed}" for network, seed in pool.members]
    assert len(record["weights"]) == len(pool.members) and record["parameters"] == 100 * len(
        pool.members
    )


def test_a_pool_pools_single_views_too_and_its_time_is_that_of_members_and_teachers(tmp_path):
    data = faces()
    for network in ("cnn", "vgg", "compact"):
        predict(tmp_path, data, network, wrong={"cnn": 3, "vgg": 5, "compact": 7}[network])
        one = artifacts.load_predictions(tmp_path, "official", network, 0)
        record = artifacts.read_record(tmp_path, "official", network, 0) | {
            "teachers": ["shallow_cnn"] * (network != "cnn")
        }
        blurred = dataclasses.replace(one, probabilities=0.5 * one.probabilities + 0.5 / 7)
        artifacts.save_predictions(tmp_path, "official", network, 0, blurred, record)
    predict(tmp_path, data, "shallow_cnn", wrong=60)
    made = run(tmp_path, data)
    pool = ensemble.save(made, "official")
    plain, averaged = (
        scoring.score(made, "official", parameters.STUDY_ENSEMBLE, tta=tta).probabilities.max(1)
        for tta in (False, True)
    )
    assert plain.mean() < averaged.mean() - 0.05
    taught = any(network in ("vgg", "compact") for network, _ in pool.members)
    seconds = 60 * len(
        {network for network, _ in pool.members} | ({"shallow_cnn"} if taught else set())
    )
    assert (
        artifacts.read_record(tmp_path, "official", parameters.STUDY_ENSEMBLE, 0)["train_seconds"]
        == seconds
    )


def test_the_smallest_cross_entropy_decides_how_many(tmp_path):
    data = faces()
    for seed in range(3):
        predict(tmp_path, data, "cnn", seed=seed, shift=1 + seed)
    course = ensemble.grow(ensemble.candidates(run(tmp_path, data), "official"))
    assert course["size"].tolist() == [1, 2, 3] and set(course.seed) == {0, 1, 2}
    assert len(ensemble.members(course.assign(cross_entropy=[0.9, 0.8, 0.85]))) == 2
    assert (
        len(ensemble.members(course.assign(cross_entropy=[0.9, 0.80001, 0.8]))) == 2
    )  # the third brings nothing
    assert ensemble.members(course, 2) == list(
        zip(course.network[:2], course.seed[:2], strict=True)
    )


def test_one_network_makes_no_pool(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn")
    with pytest.raises(
        ensemble.PoolingError, match=r"outputs/made_up: 1 network on official; a pool needs two"
    ):
        ensemble.save(run(tmp_path, data), "official")


def test_networks_of_fewer_faces_stay_outside(tmp_path):
    data = faces()
    for network in ("cnn", "vgg"):
        predict(tmp_path, data, network)
    small = scoring.datasets.subset(data, 14)
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
    found = ensemble.candidates(run(tmp_path, data), "official")
    assert set(found) == {("cnn", 0), ("vgg", 0)}
    assert len(found["cnn", 0].labels) == len(splits.divide(data, "official").validation)
