"""Several networks' probabilities as one: the plain averages of params/aggregates.yaml (system A),
and the study's own ensemble, whose members and weights are chosen on validation faces alone.

The ensemble is a logarithmic opinion pool: its probability of a class is proportional to the
product of its members', each to the power of its weight (Heskes, 'Selecting weighting factors in
logarithmic opinion pools', NIPS 1997). Weights are those of maximum likelihood, of which there is
one set, as the problem is convex. They need not add up to one, so that the pool is calibrated too.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from fercore import artifacts
from fercore.config import parameters
from fercore.evaluation import metrics, scoring
from fercore.evaluation.scoring import EvaluationError, Run, Scored

SMALLEST = 1e-4  # probability that a member gives a class at least: one veto must not decide
FOLDS = 5
TRIED = 10  # candidates whose weights are fitted at each step, the most promising ones
Member = tuple[str, int]  # network and seed
Pool = dict[Member, float]  # weights of an ensemble's members


def mean(members: Sequence[artifacts.Predictions], named: str = "members") -> artifacts.Predictions:
    """The unweighted mean of the probabilities of `members`. Raises `EvaluationError`, which
    begins with `named`, unless they hold the same faces in the same order."""
    rows, parts, *probabilities = zip(*(vars(member).values() for member in members), strict=True)
    if not all(np.array_equal(one, other[0]) for other in (rows, parts) for one in other):
        cure = "train them on the same data"
        raise EvaluationError(f"{named} hold other faces, or another order of them; {cure}")
    means = (np.mean([one.astype(np.float32) for one in ones], axis=0) for ones in probabilities)
    return artifacts.Predictions(rows[0], parts[0], *means)


def save_all(folder: Path, split: str) -> pd.DataFrame:
    """Average and save every aggregate whose members are there, once for each seed that all have;
    optional members that are not there with any seed are left out. Returns a row for each of which
    a member is there: aggregate, seeds, state (or why not saved)."""
    trained: dict[str, set[int]] = defaultdict(set)
    for _, network, seed in (key for key in artifacts.list_predictions(folder) if key[0] == split):
        trained[network].add(seed)
    rows = []
    for name, aggregate in parameters.aggregates().items():
        absent = [member for member in aggregate.members if member not in trained]
        present = [one for one in aggregate.members if one not in {*absent} & {*aggregate.optional}]
        common = sorted(set.intersection(*(trained.get(member, set()) for member in present)))
        for seed in common:
            keys = {member: (folder, split, member, seed) for member in present}
            loaded = [artifacts.load_predictions(*key) for key in keys.values()]
            predictions = mean(loaded, f"{name} on {split}, seed {seed}: members")
            records = {member: artifacts.read_record(*key) for member, key in keys.items()}
            record = combined_record(name, records)
            artifacts.save_predictions(folder, split, name, seed, predictions, record)
        lacking = ", ".join(absent)
        why = f"not run: {f'no predictions of {lacking}' if absent else 'no common seed'}"
        state = why if not common else f"saved without {lacking}" if absent else "saved"
        if len(absent) < len(aggregate.members):
            rows.append({"aggregate": name, "seeds": ", ".join(map(str, common)), "state": state})
    return pd.DataFrame(rows, columns=["aggregate", "seeds", "state"])


def candidates(run: Run, split: str, *, part: str = "validation") -> dict[Member, Scored]:
    """Every trained network of a split with every seed, probabilities averaged over views; where
    some were trained on fewer faces, those of the most faces. Raises `EvaluationError` when fewer
    than two networks or faces are left."""
    known = parameters.names("networks")
    keys = [key for key in run.predicted() if key[0] == split and key[1] in known]
    found = {key[1:]: scoring.score(run, *key, part=part) for key in keys}
    most = max((len(scored.faces) for scored in found.values()), default=0)
    found = {member: scored for member, scored in found.items() if len(scored.faces) == most}
    n = min((len(scored.labels) for scored in found.values()), default=0)
    if min(len(found), n) < 2:
        where = f"outputs/{run.profile}: networks on {split}: {len(found)}, {part} faces: {n}"
        raise EvaluationError(f"{where}; an ensemble needs two or more of both")
    return found


def grow(validation: Mapping[Member, Scored]) -> pd.DataFrame:
    """In which order candidates join: the best first, then whichever lowers cross-entropy most,
    weights fitted anew; until no other lowers it. By size: size, network and seed that joined,
    and of the pool of that size in cross-validation cross_entropy (nats) and accuracy (%)."""
    logs, labels = _logs(validation), next(iter(validation.values())).labels
    names, weights, rows = list(validation), np.zeros(0), []
    joined: list[int] = []
    with threadpool_limits(1):  # the products are small: threads would wait for each other
        while tried := _promising(logs, labels, joined, weights):
            fits = {k: metrics.fit_pool(logs[[*joined, k]], labels, [*weights, 0.0]) for k in tried}
            losses = [metrics.cross_entropy(logs[[*joined, k]], labels, w) for k, w in fits.items()]
            joined.append(tried[int(np.argmin(losses))])
            weights = fits[joined[-1]]
            loss, accuracy = cross_validated(logs[joined], labels)
            rows.append((len(joined), *names[joined[-1]], loss, accuracy))
    return pd.DataFrame(rows, columns=["size", "network", "seed", "cross_entropy", "accuracy"])


def members(order: pd.DataFrame, size: int | None = None) -> list[Member]:
    """The first `size` that joined; None: the fewest of lowest cross-entropy, to four decimals."""
    first = order.head(size or int(order.cross_entropy.round(4).argmin()) + 1)
    return list(zip(first.network, first.seed, strict=True))


def fitted(validation: Mapping[Member, Scored], chosen: Sequence[Member]) -> Pool:
    """The pool of the `chosen` with weights of maximum likelihood."""
    scored = {member: validation[member] for member in chosen}
    weights = metrics.fit_pool(_logs(scored), scored[chosen[0]].labels)
    return dict(zip(chosen, weights.tolist(), strict=True))


def pooled(scored: Mapping[Member, Scored], pool: Pool) -> np.ndarray:
    """Probabilities float32 [n, c] of the pool for faces that its members have scored."""
    logs = _logs({member: scored[member] for member in pool})
    return np.exp(metrics.pooled(logs, np.array([*pool.values()]))).T.astype(np.float32)


def cross_validated(logs: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Cross-entropy (nats) and accuracy (%) of a pool on faces that its weights were not fitted
    on; folds hold each class alike where each has as many faces as there are folds."""
    from sklearn import model_selection  # not above: it takes seconds to import

    few = np.bincount(labels)[np.unique(labels)].min() < FOLDS
    kind = model_selection.KFold if few else model_selection.StratifiedKFold
    folds = kind(min(FOLDS, len(labels)), shuffle=True, random_state=0)
    pool = np.empty(logs.shape[1:])
    for known, other in folds.split(labels, labels):
        weights = metrics.fit_pool(logs[:, :, known], labels[known])
        pool[:, other] = np.tensordot(weights, logs[:, :, other], 1)
    accuracy = 100 * float(np.mean(pool.argmax(0) == labels))
    return metrics.cross_entropy(pool[None], labels, np.ones(1)), accuracy


def combined_record(name: str, by_member: dict[str, dict]) -> dict:
    """What the members' records say together. No time or commit: the members have these, and the
    same comes out whenever the average is taken again."""
    records = list(by_member.values())
    machine = ("device", "processor", "cores", "gpu")
    joined = {key: _joined([record.get(key) for record in records]) for key in machine}
    if not (joined["gpu"] and joined["device"] == "gpu"):
        del joined["gpu"]
    joined["views"] = _joined([record.get("views", 2) for record in records])
    costs = ("parameters", "macs", "train_seconds")
    sums = {key: scoring.total(record.get(key) for record in records) for key in costs}
    shared = {key: records[0].get(key) for key in ("split", "seed", "recipe", "data")}
    return {"network": name, "members": list(by_member)} | shared | sums | joined


def _joined(values: list) -> str | int | None:
    """The value that all share, else all of them, listed."""
    known = sorted({value for value in values if value is not None}, key=str)
    return known[0] if len(known) == 1 else ", ".join(map(str, known)) or None


def _promising(
    logs: np.ndarray, labels: np.ndarray, joined: list[int], weights: np.ndarray
) -> list[int]:
    """Candidates that may lower the cross-entropy of the pool of those that `joined`, the most
    promising first by a step of Newton's method, at most `TRIED`; all as long as none joined. None
    helps whose slope is not negative, as the problem is convex."""
    if not joined:
        return list(range(len(logs)))
    pool = np.exp(metrics.pooled(logs[joined], weights))
    expected = (logs * pool).sum(1)
    slope = (expected - logs[:, labels, np.arange(len(labels))]).mean(1)
    curvature = ((logs**2 * pool).sum(1) - expected**2).mean(1)
    gain = slope**2 / np.maximum(curvature, 1e-12)
    rest = [k for k in np.argsort(-gain, kind="stable") if k not in joined and slope[k] < -1e-9]
    return [int(k) for k in rest[:TRIED]]


def _logs(scored: Mapping[Member, Scored]) -> np.ndarray:
    """Log probabilities float64 [m, c, n]: sums over so few neighbours as classes would be slow."""
    given = np.array([one.probabilities.T for one in scored.values()], np.float64)
    return np.log(np.maximum(given, SMALLEST))
