"""How good probabilities are: scores, intervals, tests, calibration. Arrays in, numbers out.

Everything that counts hits follows from the confusion matrix, int [classes, classes], rows the
label given, columns the prediction. Drawing faces anew with replacement is drawing the cells of
that matrix from a multinomial distribution, so a bootstrap needs neither loops nor the faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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


def precision(matrix: np.ndarray) -> np.ndarray:
    """Share of right ones among the faces predicted as a class, [..., c]; 0 where a class is never
    predicted."""
    return _diagonal(matrix) / np.maximum(matrix.sum(-2), 1)


def recall(matrix: np.ndarray) -> np.ndarray:
    """Share of right ones among the faces of a class, [..., c]; 0 where a class has no face."""
    return _diagonal(matrix) / np.maximum(matrix.sum(-1), 1)


def f1(matrix: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall of each class, [..., c]."""
    return 2 * _diagonal(matrix) / np.maximum(matrix.sum(-1) + matrix.sum(-2), 1)


def weighted_f1(matrix: np.ndarray) -> np.ndarray:
    """F1 averaged over classes, each counting by its faces, [...]."""
    return _by_faces(f1(matrix), matrix)


def weighted_precision(matrix: np.ndarray) -> np.ndarray:
    """Precision averaged over classes, each counting by its faces, [...]. Recall averaged so is
    accuracy."""
    return _by_faces(precision(matrix), matrix)


def scores(matrix: np.ndarray) -> dict[str, float]:
    """Accuracy with its 95 % interval, F1, precision and recall of a matrix [c, c], in 0..1; the
    last two and macro-F1 averaged over the classes that have faces, weighted F1 by their faces."""
    some = matrix.sum(1) > 0
    low, high = accuracy_interval(matrix)
    return {
        "accuracy": accuracy(matrix),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": f1(matrix)[some].mean(),
        "weighted_f1": weighted_f1(matrix),
        "precision": precision(matrix)[some].mean(),
        "recall": recall(matrix)[some].mean(),
    }


def resample(matrix: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Bootstrap over faces: matrices of as many faces, drawn with replacement, int64 [resamples,
    *matrix.shape]."""
    n = matrix.sum()
    draws = np.random.default_rng(seed).multinomial(n, matrix.ravel() / max(n, 1), size=resamples)
    return draws.reshape(resamples, *matrix.shape)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """The central interval of bootstrap `values` [resamples, ...]: (low, high), each [...]."""
    tail = 50 * (1 - level)
    low, high = np.percentile(values, [tail, 100 - tail], axis=0)
    return low, high


def accuracy_interval(matrix: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of accuracy over faces: (low, high). Of a face only whether it is
    right counts."""
    right, n = np.trace(matrix), matrix.sum()
    low, high = interval(resample(np.array([right, n - right]), seed=seed)[:, 0] / max(n, 1))
    return float(low), float(high)


def by_class(matrix: np.ndarray, class_names: tuple[str, ...]) -> pd.DataFrame:
    """A row a class that has faces: faces, precision, recall with its 95 % interval, F1; all but
    the faces in %."""
    low, high = interval(recall(resample(matrix)))
    columns = {
        "precision": precision(matrix),
        "recall": recall(matrix),
        "recall_low": low,
        "recall_high": high,
        "f1": f1(matrix),
    }
    table = pd.DataFrame({name: 100 * values for name, values in columns.items()})
    table.insert(0, "class", class_names)
    table.insert(1, "n", matrix.sum(1))
    return table[table.n > 0].reset_index(drop=True)


@dataclass(frozen=True)
class McNemar:
    """Faces that only one of two systems gets right, and the two-sided probability of a split so
    uneven by chance."""

    only_first: int
    only_second: int
    p_exact: float
    p_mid: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """McNemar's test of two systems on the same faces; `first`, `second` bool [n], True where
    right.

    Exact binomial and mid-p, which is less conservative and keeps its level (Fagerland, Lydersen &
    Laake 2013, BMC Medical Research Methodology 13:91).
    """
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    n, fewer = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return McNemar(0, 0, 1.0, 1.0)
    up_to, below = float(bdtr(fewer, n, 0.5)), float(bdtr(fewer - 1, n, 0.5)) if fewer else 0.0
    return McNemar(only_first, only_second, min(1.0, 2 * up_to), min(1.0, up_to + below))


def holm(p: np.ndarray) -> np.ndarray:
    """p-values of several tests corrected together (Holm 1979), [k]."""
    order = np.argsort(p)
    corrected = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected[np.argsort(order)]


def recall_change(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray, class_names: tuple[str, ...]
) -> pd.DataFrame:
    """By class, recall of the predictions `after` minus that of `before` on the same faces, in
    points, with intervals.

    Columns class (those that have faces), n, change, low, high.
    """
    classes = len(class_names)
    outcome = _outcome(before == labels, after == labels)
    table = np.bincount(np.asarray(labels, int) * 3 + outcome, minlength=3 * classes).reshape(
        classes, 3
    )
    low, high = interval(_change(resample(table)))
    columns = {"class": class_names, "n": table.sum(1), "change": _change(table)}
    frame = pd.DataFrame(columns | {"low": low, "high": high})
    return frame[frame.n > 0].reset_index(drop=True)


def accuracy_change(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
    """Accuracy of `after` minus that of `before` on the same faces, in points: (change, low, high),
    95 % over faces.

    Bool [n], True where right, or [seeds, n]: then the mean over seeds, a face keeping what it has
    in each.
    """
    by_face = (np.atleast_2d(after).astype(int) - np.atleast_2d(before)).sum(0)  # -seeds..seeds
    seeds = len(np.atleast_2d(after))
    steps = np.arange(-seeds, seeds + 1)
    table = np.bincount(by_face + seeds, minlength=len(steps))
    share = 100 * steps / (seeds * max(len(by_face), 1))
    low, high = interval(resample(table) @ share)
    return float(table @ share), float(low), float(high)


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """Confidence against accuracy in `bins` of equal width: a row a bin that has faces.

    `probabilities` [n, c]. Columns left, right (edges), n, confidence (mean), accuracy; all but n
    in 0..1.
    """
    confidence, right = probabilities.max(1).astype(float), probabilities.argmax(1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    n = np.bincount(place, minlength=bins)
    some = n > 0
    return pd.DataFrame(
        {
            "left": np.arange(bins)[some] / bins,
            "right": (np.arange(bins)[some] + 1) / bins,
            "n": n[some],
            "confidence": np.bincount(place, confidence, bins)[some] / n[some],
            "accuracy": np.bincount(place, right, bins)[some] / n[some],
        }
    )


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error, 0..1: |confidence - accuracy| averaged over faces (Guo et al.
    2017, section 2)."""
    table = reliability(probabilities, labels, bins)
    return float(
        (table.n * (table.confidence - table.accuracy).abs()).sum() / max(table.n.sum(), 1)
    )


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What divides `logits` [n, classes], such as logarithms of probabilities, so that softmax
    gives `labels` [n] the highest likelihood (Guo et al. 2017, arXiv:1706.04599, section 4.2)."""
    from scipy.optimize import minimize_scalar  # takes long to import

    def loss(logarithm: float) -> float:
        return -log_softmax(logits / np.exp(logarithm), axis=1)[range(len(labels)), labels].mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))


def pooled(logs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Log probabilities [c, n] of a logarithmic opinion pool: its members' `logs` [m, c, n], each
    times its weight."""
    return log_softmax(np.tensordot(weights, logs, 1), axis=0)


def cross_entropy(logs: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Cross-entropy of the pool with these weights, mean over faces, in nats."""
    return -float(pooled(logs, weights)[labels, np.arange(len(labels))].mean())


def fit_pool(
    logs: np.ndarray, labels: np.ndarray, start: Sequence[float] | None = None
) -> np.ndarray:
    """Weights [m], none below 0, that make `labels` [n] most likely given log probabilities `logs`
    [m, c, n]: Newton's method, projected (Bertsekas 1982), from `start` or equal weights."""
    size = len(logs)
    weights = np.full(size, 1 / size) if start is None else np.array(start, float)
    loss = cross_entropy(logs, labels, weights)
    for _ in range(50):
        slope, curvature = slopes(logs, labels, weights)
        free = np.flatnonzero((weights > 0) | (slope < 0))
        if not np.abs(slope[free]).max(initial=0) > 1e-9:
            break
        step, share = np.zeros(size), 1.0
        inner = curvature[np.ix_(free, free)] + 1e-10 * np.eye(len(free))
        step[free] = -np.linalg.solve(inner, slope[free])
        while share > 1e-6:
            moved = np.maximum(0, weights + share * step)
            lower = cross_entropy(logs, labels, moved)
            if lower <= loss + 1e-4 * slope @ (moved - weights):
                break
            share /= 2
        if not lower < loss:
            break
        weights, loss = moved, lower
    return weights


def slopes(
    logs: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slope [m] and curvature [m, m] of the cross-entropy at `weights`."""
    size, _, n = logs.shape
    weighted = logs * np.exp(pooled(logs, weights))
    expected = weighted.sum(1)
    slope = (expected.sum(1) - logs[:, labels, np.arange(n)].sum(1)) / n
    curvature = weighted.reshape(size, -1) @ logs.reshape(size, -1).T - expected @ expected.T
    return slope, curvature / n


def _by_faces(values: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    faces = matrix.sum(-1)
    return (values * faces).sum(-1) / np.maximum(faces.sum(-1), 1)


def _diagonal(matrix: np.ndarray) -> np.ndarray:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _outcome(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """0 lost, 1 unchanged, 2 won, by face: a face keeps both its predictions when faces are drawn
    anew."""
    return 1 + after.astype(int) - before.astype(int)


def _change(table: np.ndarray) -> np.ndarray:
    """Points of recall won, from counts [..., c, 3] of faces lost, unchanged and won."""
    return 100 * (table[..., 2] - table[..., 0]) / np.maximum(table.sum(-1), 1)
