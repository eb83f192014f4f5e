"""The study's own ensemble: a logarithmic opinion pool, its members and weights chosen on
validation faces alone.

The pool's probability of a class is proportional to the product of its members', each to the power
of its weight: Heskes, 'Selecting weighting factors in logarithmic opinion pools', NIPS 1997. The
weights are those of maximum likelihood, of which there is one set: the problem is convex. They need
not add up to one, so that the pool is calibrated as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import ThreadpoolController

from fercore import artifacts
from fercore.config import parameters
from fercore.evaluation import aggregation, scoring
from fercore.evaluation.scoring import Run, Scored

SMALLEST = 1e-4  # probability that a member gives a class at least: one veto must not decide
FOLDS = 5
Member = tuple[str, int]  # network and seed


class PoolingError(ValueError):
    """Too few networks to pool."""


@dataclass(frozen=True)
class Pool:
    """Members and their weights [m]."""

    members: tuple[Member, ...]
    weights: np.ndarray


def candidates(run: Run, split: str, *, part: str = "validation") -> dict[Member, Scored]:
    """Every trained network of a split with every seed, probabilities averaged over views; no
    aggregates.

    Where some were trained on fewer faces, those of the most faces count. Raises `PoolingError`
    when fewer than two are left.
    """
    known = parameters.network_names()
    found = {
        (network, seed): scoring.score(run, split, network, seed, part=part)
        for place, network, seed in run.predicted()
        if place == split and network in known
    }
    most = max((len(scored.faces) for scored in found.values()), default=0)
    found = {member: scored for member, scored in found.items() if len(scored.faces) == most}
    if len(found) < 2:
        raise PoolingError(
            f"outputs/{run.profile}: {len(found)} network on {split}; a pool needs two"
        )
    return found


def grow(validation: Mapping[Member, Scored]) -> pd.DataFrame:
    """In which order candidates join: the best first, then whichever lowers cross-entropy most,
    weights fitted anew.

    A row a size: size, network and seed that joined, and of the pool of that size in
    cross-validation cross_entropy (nats) and accuracy (%).
    """
    logs, labels = _logs(validation), next(iter(validation.values())).labels
    names, joined, rows = list(validation), [], []
    while len(joined) < len(names):
        rest = [k for k in range(len(names)) if k not in joined]
        losses = [
            cross_entropy(logs[[*joined, k]], labels, fit(logs[[*joined, k]], labels)) for k in rest
        ]
        joined.append(rest[int(np.argmin(losses))])
        loss, accuracy = cross_validated(logs[joined], labels)
        network, seed = names[joined[-1]]
        rows.append(
            {
                "size": len(joined),
                "network": network,
                "seed": seed,
                "cross_entropy": loss,
                "accuracy": accuracy,
            }
        )
    return pd.DataFrame(rows)


def members(course: pd.DataFrame, size: int | None = None) -> list[Member]:
    """The first `size` that joined; None: as few as have the lowest cross-entropy in
    cross-validation, told to four decimals."""
    first = course.head(size or int(course.cross_entropy.round(4).argmin()) + 1)
    return list(zip(first.network, first.seed, strict=True))


def fitted(validation: Mapping[Member, Scored], chosen: Sequence[Member]) -> Pool:
    """The pool of the `chosen` with weights of maximum likelihood."""
    scored = {member: validation[member] for member in chosen}
    return Pool(tuple(chosen), fit(_logs(scored), scored[chosen[0]].labels))


def pooled(scored: Mapping[Member, Scored], pool: Pool) -> np.ndarray:
    """Probabilities float32 [n, c] of the pool for faces that its members have scored."""
    logs = _logs({member: scored[member] for member in pool.members})
    return np.exp(log_softmax(np.tensordot(pool.weights, logs, 1), axis=1)).astype(np.float32)


def contributions(validation: Mapping[Member, Scored], pool: Pool) -> pd.DataFrame:
    """What each member is worth on validation faces, a row a member in the pool's order.

    Columns in %: `alone`, its accuracy; `pool without it`, weights of the others fitted anew;
    `disagrees with the others`, the share of its answers that differ from those of the pool of the
    others. `weight`; `gain` of the pool by it, in points. NaN where it has no others.
    """
    labels = validation[pool.members[0]].labels
    accuracy = 100 * np.mean(pooled(validation, pool).argmax(1) == labels)
    rows = []
    for member, weight in zip(pool.members, pool.weights, strict=True):
        others, apart, without = (
            [other for other in pool.members if other != member],
            np.nan,
            np.nan,
        )
        if others:
            said = pooled(validation, fitted(validation, others)).argmax(1)
            without, apart = (
                100 * np.mean(said == labels),
                100 * np.mean(said != validation[member].predicted),
            )
        alone = 100 * validation[member].right.mean()
        rows.append(
            {
                "member": " ".join(map(str, member)),
                "weight": weight,
                "alone": alone,
                "pool without it": without,
                "disagrees with the others": apart,
                "gain": accuracy - without,
            }
        )
    return pd.DataFrame(rows)


def fit(logs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights [m], none below 0, that make `labels` [n] most likely given log probabilities `logs`
    [m, n, c]."""
    size, n, classes = logs.shape
    rows = np.ascontiguousarray(logs.swapaxes(1, 2)).reshape(
        size, -1
    )  # sums over seven neighbours would be slow
    given = logs[:, np.arange(n), labels].sum(1)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        answer = (weights @ rows).reshape(classes, n)
        highest = answer.max(0)
        shares = np.exp(answer - highest)
        total = shares.sum(0)
        slope = rows @ (shares / total).ravel() - given
        return float(np.log(total).sum() + highest.sum() - weights @ given) / n, slope / n

    start = np.full(size, 1 / size)
    with _threads().limit(
        limits=1
    ):  # the products are small: threads would mostly wait for each other
        return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * size).x


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()  # once: looking for libraries takes as long as a fit


def cross_entropy(logs: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Of the pool with these weights, mean over faces, in nats."""
    answer = log_softmax(np.tensordot(weights, logs, 1), axis=1)
    return -float(answer[np.arange(len(labels)), labels].mean())


def cross_validated(logs: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Cross-entropy (nats) and accuracy (%) of a pool on faces that its weights were not fitted
    on."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    answers = np.empty(logs.shape[1:])
    for fitted, asked in folds.split(labels, labels):
        answers[asked] = np.tensordot(fit(logs[:, fitted], labels[fitted]), logs[:, asked], 1)
    one = np.ones(1)
    return cross_entropy(answers[None], labels, one), 100 * float(
        np.mean(answers.argmax(1) == labels)
    )


def save(run: Run, split: str) -> Pool:
    """Choose the pool of a split, save its predictions and record under
    `parameters.STUDY_ENSEMBLE`, seed 0. Single views are pooled with the weights of averaged ones.

    Raises `PoolingError` when there are fewer than two networks.
    """
    validation = candidates(run, split)
    pool = fitted(validation, members(grow(validation)))
    plain, averaged, row_ids, part = [], [], [], []
    for name, number in scoring.PARTS.items():
        for answers, tta in ((plain, False), (averaged, True)):
            scored = {
                member: scoring.score(run, split, *member, part=name, tta=tta)
                for member in pool.members
            }
            answers.append(pooled(scored, pool))
        first = next(iter(scored.values()))
        row_ids.append(first.faces.row_ids[first.positions])
        part.append(np.full(len(first.labels), number, np.int8))
    predictions = artifacts.Predictions(*map(np.concatenate, (row_ids, part, plain, averaged)))
    records = _records(run, split, pool.members)
    record = aggregation.combined_record(parameters.STUDY_ENSEMBLE, records)
    record |= {
        "seed": 0,
        "weights": [round(float(weight), 4) for weight in pool.weights],
        "train_seconds": scoring.train_seconds(run, *records.values()),
    }  # teachers included
    artifacts.save_predictions(
        run.folder, split, parameters.STUDY_ENSEMBLE, 0, predictions, record
    )
    return pool


def _records(run: Run, split: str, members: Sequence[Member]) -> dict[str, dict]:
    return {
        f"{network}, seed {seed}": artifacts.read_record(run.folder, split, network, seed)
        for network, seed in members
    }


def _logs(scored: Mapping[Member, Scored]) -> np.ndarray:
    """Log probabilities float64 [m, n, c]."""
    return np.log(
        np.maximum([one.probabilities.astype(np.float64) for one in scored.values()], SMALLEST)
    )
