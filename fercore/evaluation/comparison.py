"""Systems against each other on the same faces: aggregates and members, networks with a descriptor
and without."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from fercore.config import parameters
from fercore.evaluation import metrics
from fercore.evaluation.scoring import Scored


def best_member(members: Iterable[str], validation: Mapping[str, Scored]) -> str:
    """The member most accurate on validation faces: chosen without a look at the test faces."""
    return max(members, key=lambda name: validation[name].right.mean())


def against_best_member(
    test: Mapping[str, Scored], validation: Mapping[str, Scored]
) -> pd.DataFrame:
    """Each aggregate against its best member on the test faces, by McNemar's test; a row an
    aggregate.

    Accuracies in %, difference in points with its 95 % interval, faces that only one of the two
    gets right, p-values exact, mid-p, and mid-p after Holm for all rows together.
    """
    rows = []
    for aggregate in aggregates_in(test):
        member = best_member(aggregate.members, validation)
        ours, theirs = test[aggregate.name].right, test[member].right
        change, low, high = metrics.accuracy_change(theirs, ours)
        result = metrics.mcnemar(ours, theirs)
        rows.append(
            {
                "aggregate": aggregate.name,
                "best member": member,
                "accuracy": 100 * ours.mean(),
                "member's": 100 * theirs.mean(),
                "difference": change,
                "low": low,
                "high": high,
                "only aggregate right": result.only_first,
                "only member right": result.only_second,
                "p exact": result.p_exact,
                "p mid": result.p_mid,
            }
        )
    frame = pd.DataFrame(rows)
    return (
        frame
        if frame.empty
        else frame.assign(**{"p mid, Holm": metrics.holm(frame["p mid"].to_numpy())})
    )


def members_together(test: Mapping[str, Scored]) -> pd.DataFrame:
    """For each aggregate, in %: mean accuracy of its members, its own, and the share of faces that
    at least one member gets right, beyond which no choice among the members' answers can go."""
    rows = []
    for aggregate in aggregates_in(test):
        right = np.array([test[member].right for member in aggregate.members])
        answers = np.array([test[member].predicted for member in aggregate.members])
        rows.append(
            {
                "aggregate": aggregate.name,
                "members' mean": 100 * right.mean(),
                "aggregate's accuracy": 100 * test[aggregate.name].right.mean(),
                "some member right": 100 * right.any(0).mean(),
                "all members right": 100 * right.all(0).mean(),
                "all say the same": 100 * (answers == answers[0]).all(0).mean(),
            }
        )
    return pd.DataFrame(rows)


def class_changes(test: Mapping[str, Scored]) -> dict[str, dict[str, pd.DataFrame]]:
    """What each class gains or loses by a descriptor: plain network -> "other against plain" ->
    recall change.

    The plain network is the first member of an aggregate; it is compared with the other members and
    the aggregate of all of them.
    """
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for aggregate in sorted(aggregates_in(test), key=lambda item: len(item.members)):
        plain, *others = aggregate.members
        last = [aggregate.name] if len(others) > 1 else []
        for other in [*others, *last]:
            first, second = test[plain], test[other]
            change = metrics.recall_change(
                first.labels, first.predicted, second.predicted, first.faces.class_names
            )
            found.setdefault(plain, {})[f"{other}\nagainst {plain}"] = change
    return found


def agreement(test: Mapping[str, Scored]) -> np.ndarray:
    """Share of faces on which two systems predict the same, [k, k], in 0..1."""
    answers = np.array([scored.predicted for scored in test.values()])
    return (answers[:, None] == answers[None]).mean(-1)


def shared_mistakes(test: Mapping[str, Scored]) -> np.ndarray:
    """Of the faces that one system gets wrong, the share that another gets wrong too: [k, k], rows
    the one, in 0..1."""
    wrong = ~np.array([scored.right for scored in test.values()])
    both = (wrong[:, None] & wrong[None]).sum(-1)
    return both / np.maximum(wrong.sum(1), 1)[:, None]


def by_votes(
    test: Mapping[str, Scored], agreeing: np.ndarray, edges: tuple[int, ...] = (8, 5, 0)
) -> pd.DataFrame:
    """Accuracy in % where many and where few voters gave the label that the face carries; a row a
    system.

    `agreeing` int [n]: voters of ten that gave it, of the scored faces. `edges`: the fewest votes
    of each column.
    """
    columns, above = {}, 11
    for edge in edges:
        chosen = (agreeing >= edge) & (agreeing < above)
        name = f"{edge} votes or more" if above > 10 else f"{edge} to {above - 1} votes"
        columns[f"{name} (n = {chosen.sum():,})"] = [
            100 * one.right[chosen].mean() if chosen.any() else np.nan for one in test.values()
        ]
        above = edge
    return pd.DataFrame({"network": list(test), **columns})


def aggregates_in(scored: Mapping[str, Scored]) -> list[parameters.Aggregate]:
    """The aggregates that are in `scored` with all their members."""
    return [
        aggregate
        for name, aggregate in parameters.aggregates().items()
        if name in scored and all(member in scored for member in aggregate.members)
    ]
