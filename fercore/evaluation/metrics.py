"""How good probabilities are: scores, intervals, tests, calibration. Arrays in, numbers out.

Everything that counts hits follows from the confusion matrix, int [classes, classes], rows the
label given, columns the prediction. Drawing faces anew with replacement is drawing the cells of
that matrix from a multinomial distribution, so a bootstrap needs neither loops nor the faces.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import bdtr, log_softmax  # SciPy's stats would take seconds to import

RESAMPLES = 2000


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Faces by label (row) and prediction (column), int64 [classes, classes]."""
    cells = np.asarray(labels, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of faces on the diagonal. `matrix` [..., c, c] -> [...], in 0..1."""
    return np.trace(matrix, axis1=-2, axis2=-1) / np.maximum(matrix.sum((-2, -1)), 1)


def recall(matrix: np.ndarray) -> np.ndarray:
    """Share of right ones among the faces of a class, [..., c, c] -> [..., c]; 0 without faces."""
    return np.diagonal(matrix, axis1=-2, axis2=-1) / np.maximum(matrix.sum(-1), 1)


def class_scores(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 by class of a matrix [c, c], each [c]; 0 where undefined."""
    from sklearn.metrics import precision_recall_fscore_support  # takes seconds to import

    labels, predicted = np.indices(matrix.shape).reshape(2, -1)
    return precision_recall_fscore_support(
        labels, predicted, sample_weight=matrix.ravel(), zero_division=0
    )[:3]


def scores(matrix: np.ndarray) -> dict[str, float]:
    """Accuracy with its 95 % interval, F1, precision and recall of a matrix [c, c], in 0..1; the
    last two and macro-F1 averaged over the classes that have faces, weighted F1 by their faces."""
    faces = matrix.sum(1)
    precise, recalled, f1 = class_scores(matrix)
    low, high = accuracy_interval(matrix)
    return {
        "accuracy": accuracy(matrix),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": f1[faces > 0].mean(),
        "weighted_f1": np.average(f1, weights=faces),
        "precision": precise[faces > 0].mean(),
        "recall": recalled[faces > 0].mean(),
    }


def resample(matrix: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Bootstrap over faces: matrices of as many faces, int64 [resamples, *matrix.shape]."""
    n = matrix.sum()
    draws = np.random.default_rng(seed).multinomial(n, matrix.ravel() / max(n, 1), size=resamples)
    return draws.reshape(resamples, *matrix.shape)


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The central 95 % of bootstrap `values` [resamples, ...]: (low, high), each [...]."""
    low, high = np.percentile(values, [2.5, 97.5], axis=0)
    return low, high


def accuracy_interval(matrix: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of accuracy over faces: (low, high), in 0..1."""
    right, n = np.trace(matrix), matrix.sum()
    low, high = interval(resample(np.array([right, n - right]), seed=seed)[:, 0] / max(n, 1))
    return float(low), float(high)


def by_class(matrix: np.ndarray, class_names: tuple[str, ...]) -> pd.DataFrame:
    """Each class that has faces: n, then in % precision, recall with 95 % interval, and F1."""
    names = ["precision", "recall", "recall_low", "recall_high", "f1"]
    precise, recalled, f1 = class_scores(matrix)
    low, high = interval(recall(resample(matrix)))
    table = pd.DataFrame(100 * np.column_stack([precise, recalled, low, high, f1]), columns=names)
    table.insert(0, "class", class_names)
    table.insert(1, "n", matrix.sum(1))
    return table[table.n > 0].reset_index(drop=True)


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float, float]:
    """McNemar's test of two systems on the same faces; `first`, `second` bool [n], True where
    right: faces that only the first gets right, those of the second, and the two-sided probability
    of a split so uneven by chance: exact binomial, and mid-p, which is less conservative and keeps
    its level (Fagerland, Lydersen & Laake 2013, BMC Medical Research Methodology 13:91)."""
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    n, fewer = only_first + only_second, min(only_first, only_second)
    up_to, below = float(bdtr(fewer, n, 0.5)), float(bdtr(fewer - 1, n, 0.5)) if fewer else 0.0
    return only_first, only_second, min(1.0, 2 * up_to), min(1.0, up_to + below)


def accuracy_change(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
    """Accuracy of `after` minus that of `before` on the same faces, in points: (change, low, high),
    95 % over faces. Bool [n], True where right, or [seeds, n]: then the mean over seeds."""
    by_face = (np.atleast_2d(after).astype(int) - np.atleast_2d(before)).sum(0)  # -seeds..seeds
    seeds = len(np.atleast_2d(after))
    steps = np.arange(-seeds, seeds + 1)
    table = np.bincount(by_face + seeds, minlength=len(steps))
    share = 100 * steps / (seeds * max(len(by_face), 1))
    low, high = interval(resample(table) @ share)
    return float(table @ share), float(low), float(high)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of `probabilities` [n, c], 0..1: |confidence - accuracy| of `bins`
    of equal width, averaged over faces (Guo et al. 2017, section 2)."""
    confidence, right = probabilities.max(1).astype(float), probabilities.argmax(1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return float(np.abs(np.bincount(place, confidence - right)).sum() / max(len(labels), 1))


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What divides `logits` [n, classes], such as logarithms of probabilities, so that softmax
    gives `labels` [n] the highest likelihood (Guo et al. 2017, arXiv:1706.04599, section 4.2)."""
    from scipy.optimize import minimize_scalar  # takes long to import

    def loss(logarithm: float) -> float:
        return -log_softmax(logits / np.exp(logarithm), axis=1)[range(len(labels)), labels].mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))


def pooled(logs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Log probabilities [c, n] of a logarithmic opinion pool of members' `logs` [m, c, n]."""
    return log_softmax(np.tensordot(weights, logs, 1), axis=0)


def cross_entropy(logs: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Cross-entropy of the pool with these weights, mean over faces, in nats."""
    return -float(pooled(logs, weights)[labels, np.arange(len(labels))].mean())


def fit_pool(
    logs: np.ndarray, labels: np.ndarray, start: Sequence[float] | None = None
) -> np.ndarray:
    """Weights [m], none below 0, that make `labels` [n] most likely given log probabilities `logs`
    [m, c, n]: L-BFGS-B from `start` or equal weights."""
    from scipy.optimize import minimize

    faces = np.arange(len(labels))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        together = pooled(logs, weights)
        slope = np.tensordot(logs, np.exp(together), 2) - logs[:, labels, faces].sum(1)
        return -together[labels, faces].mean(), slope / len(labels)

    first = np.full(len(logs), 1 / len(logs)) if start is None else start
    exact = {"ftol": 1e-15, "gtol": 1e-8}
    return minimize(loss, first, jac=True, bounds=[(0, None)] * len(logs), options=exact).x
