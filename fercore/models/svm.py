"""System E's classifier of handcrafted features: support-vector machines with an RBF kernel, a
class against the rest (Cortes, Vapnik, 'Support-vector networks', Machine Learning 1995; libsvm
through scikit-learn). All share one kernel, which for 28,709 faces takes 6.6 GB of memory."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC
from sklearn.utils import gen_batches

from fercore import artifacts
from fercore.data.faces import Faces
from fercore.features import descriptors

ROWS_A_PRODUCT = 2048


@dataclass(frozen=True)
class Machines:
    """One machine a class. `vectors` float32 [s, d] support any of them; `coefficients` float64
    [s, classes]; `intercepts` float64 [classes]; `gamma` of the kernel; `seconds` it all took."""

    vectors: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray
    gamma: float
    seconds: float

    @property
    def parameters(self) -> int:
        """Numbers that the machines consist of."""
        return int(self.vectors.size + np.count_nonzero(self.coefficients) + self.intercepts.size)


def features(
    faces: Faces,
    train: np.ndarray,
    names: Sequence[str],
    *,
    weights: Mapping[str, float] | None = None,
    scalings: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Descriptors `names` side by side, float32 [n, 2, d], of each face and of its mirror image.

    Every value has mean 0 over the faces at `train`, and a deviation such that a descriptor's part
    of a squared distance is in the mean twice the square of its weight (1). `scalings` by name.
    """
    parts, scalings, weights = [], scalings or {}, weights or {}
    for name in names:
        values = descriptors.scale(name, descriptors.load(name, faces, train), scalings.get(name))
        mean, deviation = values[train, 0].mean(axis=0), values[train, 0].std(axis=0)
        values -= mean
        values *= weights.get(name, 1.0) / np.sqrt(values.shape[-1])
        # What never varies says nothing.
        values *= np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)
        parts.append(values)
    return np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]


def kernel(a: np.ndarray, b: np.ndarray, gamma: float) -> np.ndarray:
    """exp(-gamma |a - b|^2) of all pairs of rows [., d], float64 [len(a), len(b)] for libsvm."""
    a, b = a.astype(float), b.astype(float)  # once: of float32 scikit-learn does it piece by piece
    result = np.empty((len(a), len(b)))
    for rows in artifacts.progress([*gen_batches(len(a), ROWS_A_PRODUCT)], "kernel"):
        result[rows] = rbf_kernel(a[rows], b, gamma)
    return result


def fit(
    values: np.ndarray,
    labels: np.ndarray,
    *,
    classes: int,
    C: float,
    gamma: float,
    similar: np.ndarray | None = None,
) -> Machines:
    """Machines for `classes`, from features float32 [n, d] and labels int [n]; `C` is the price of
    an error, `similar` the `kernel` of `values` with themselves, where it is known."""
    start = time.perf_counter()
    similar = kernel(values, values, gamma) if similar is None else similar
    coefficients = np.zeros((len(values), classes))
    intercepts = np.full(classes, -np.inf)
    for k in artifacts.progress(range(classes), "machines", classes):
        if (labels == k).any() and (labels != k).any():
            machine = SVC(C=C, kernel="precomputed", cache_size=500).fit(similar, labels == k)
            coefficients[machine.support_, k] = machine.dual_coef_[0]
            intercepts[k] = machine.intercept_[0]
    used = np.flatnonzero(coefficients.any(axis=1))
    seconds = time.perf_counter() - start
    return Machines(values[used], coefficients[used], intercepts, gamma, seconds)


def decide(machines: Machines, values: np.ndarray) -> np.ndarray:
    """Signed distances from each class's boundary, in margins, float64 [n, classes]."""
    result = np.empty((len(values), len(machines.intercepts)))
    for rows in gen_batches(len(values), ROWS_A_PRODUCT):
        similar = kernel(values[rows], machines.vectors, machines.gamma)
        result[rows] = similar @ machines.coefficients + machines.intercepts
    return result
