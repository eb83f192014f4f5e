"""Metrics against small cases counted by hand, and against scikit-learn."""

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics as reference

from fercore.evaluation import metrics

LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 2, 2])


@pytest.fixture
def matrix():
    return metrics.confusion(LABELS, PREDICTED, 3)


def test_confusion_counts_labels_in_rows(matrix):
    assert matrix.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


def test_scores_by_hand(matrix):
    assert metrics.accuracy(matrix) == pytest.approx(4 / 6)
    assert metrics.recall(matrix) == pytest.approx([2 / 3, 1 / 2, 1])
    precision, recall, f1 = metrics.class_scores(matrix)
    assert precision == pytest.approx([1, 1 / 2, 1 / 2])
    assert recall == pytest.approx([2 / 3, 1 / 2, 1])
    assert f1 == pytest.approx([0.8, 0.5, 2 / 3])


def test_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 7, 500), rng.integers(0, 7, 500)
    matrix = metrics.confusion(labels, predicted, 7)
    assert metrics.accuracy(matrix) == pytest.approx(reference.accuracy_score(labels, predicted))
    assert metrics.scores(matrix)["macro_f1"] == pytest.approx(
        reference.f1_score(labels, predicted, average="macro")
    )
    assert metrics.scores(matrix)["weighted_f1"] == pytest.approx(
        reference.f1_score(labels, predicted, average="weighted")
    )


def test_classes_without_faces_or_predictions_score_zero():
    matrix = metrics.confusion(np.array([0, 0]), np.array([0, 0]), 3)
    assert metrics.recall(matrix).tolist() == [1, 0, 0]
    assert [values.tolist() for values in metrics.class_scores(matrix)] == [[1, 0, 0]] * 3
    assert metrics.scores(matrix)["macro_f1"] == metrics.scores(matrix)["weighted_f1"] == 1


def test_resampled_matrices_keep_the_number_of_faces_and_repeat(matrix):
    first, again = (metrics.resample(matrix, seed=3, resamples=50) for _ in range(2))
    assert first.shape == (50, 3, 3)
    assert (first.sum((1, 2)) == 6).all()
    assert np.array_equal(first, again)


def test_bootstrap_interval_is_that_of_a_binomial():
    matrix = np.array([[650, 350], [0, 0]])
    low, high = metrics.accuracy_interval(matrix)
    expected = stats.binom.ppf([0.025, 0.975], 1000, 0.65) / 1000
    assert [low, high] == pytest.approx(expected, abs=0.003)


def test_bootstrap_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for k in range(200):
        right = rng.binomial(300, 0.7)
        matrix = np.array([[right, 300 - right], [0, 0]])
        low, high = metrics.accuracy_interval(matrix, seed=k)
        hits += low <= 0.7 <= high
    assert 0.89 <= hits / 200 <= 0.99


def test_mcnemar_gives_the_published_values():
    """Airway hyper-responsiveness of 21 children: the example of Fagerland et al. 2013."""
    first = np.array([True] * 1 + [False] * 7 + [True] * 13)
    second = np.array([False] * 1 + [True] * 7 + [True] * 13)
    only_first, only_second, exact, mid = metrics.mcnemar(first, second)
    assert (only_first, only_second) == (1, 7)
    assert exact == pytest.approx(0.0703, abs=5e-5)
    assert mid == pytest.approx(0.0391, abs=5e-5)


def test_mcnemar_of_equal_systems_is_one():
    right = np.array([True, False, True])
    assert metrics.mcnemar(right, right)[3] == 1
    assert metrics.mcnemar(np.array([True, False]), np.array([False, True]))[3] == pytest.approx(1)


def test_a_change_of_accuracy_by_hand():
    before = np.array([True, False, False, True, True, True])
    after = np.array([True, True, True, False, True, False])
    change, low, high = metrics.accuracy_change(before, after)
    assert change == pytest.approx(0)
    assert low < 0 < high


def test_calibration_error_by_hand():
    """Four faces at .95, three of them right; two at .55, one right: (4 * .20 + 2 * .05) / 6."""
    probabilities = np.array([[0.95, 0.05]] * 4 + [[0.45, 0.55]] * 2)
    labels = np.array([0, 0, 0, 1, 1, 0])
    assert metrics.calibration_error(probabilities, labels, bins=10) == pytest.approx(
        (4 * 0.2 + 2 * 0.05) / 6
    )


def test_certainty_belongs_to_the_last_bin():
    assert metrics.calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_by_class_is_in_per_cent(matrix):
    table = metrics.by_class(matrix, ("a", "b", "c"))
    assert table.n.tolist() == [3, 2, 1]
    assert table.recall.tolist() == pytest.approx([200 / 3, 50, 100])


@pytest.mark.parametrize("true", [0.5, 1, 3])
def test_the_temperature_is_the_most_likely_one(true):
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (4000, 4))
    logits[:, 3] = -np.inf  # a class that is never predicted
    likely = special.softmax(logits / true, axis=1)
    labels = (likely.cumsum(1) > rng.random((4000, 1))).argmax(1)
    assert metrics.temperature(logits, labels) == pytest.approx(true, rel=0.1)
