"""Averages of the probabilities of several networks: system A's aggregates, and any other in
params/aggregates.yaml."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fercore import artifacts
from fercore.config import parameters
from fercore.config.parameters import Aggregate


class AggregationError(ValueError):
    """Members that cannot be averaged."""


def mean(members: Sequence[artifacts.Predictions]) -> artifacts.Predictions:
    """The unweighted mean of the probabilities of `members`, which must hold the same faces in the
    same order."""
    first = members[0]
    for other in members[1:]:
        if not np.array_equal(first.row_ids, other.row_ids) or not np.array_equal(
            first.part, other.part
        ):
            raise AggregationError(
                "members hold other faces, or another order of them; train them on the same data"
            )
    plain = np.mean([m.probabilities.astype(np.float32) for m in members], axis=0)
    mirrored = np.mean([m.probabilities_tta.astype(np.float32) for m in members], axis=0)
    return artifacts.Predictions(first.row_ids, first.part, plain, mirrored)


def save_all(folder: Path, split: str) -> pd.DataFrame:
    """Average and save every aggregate whose members are there, one a seed that all of them have;
    optional members that are not there with any seed are left out.

    Returns a row an aggregate of which any member is there: aggregate, seeds, state ('saved',
    'saved without …' or why not).
    """
    trained = {
        (network, seed)
        for place, network, seed in artifacts.list_predictions(folder)
        if place == split
    }
    rows = []
    for name, aggregate in parameters.aggregates().items():
        seeds = {
            member: {s for network, s in trained if network == member}
            for member in aggregate.members
        }
        if not any(seeds.values()):
            continue
        missing = [member for member in aggregate.optional if not seeds[member]]
        present = [member for member in aggregate.members if member not in missing]
        common = (
            sorted(set.intersection(*(seeds[member] for member in present)))
            if len(present) > 1
            else []
        )
        for seed in common:
            save(folder, split, aggregate, seed, missing)
        done = f"saved without {', '.join(missing)}" if missing else "saved"
        state = done if common else _lacking(seeds)
        rows.append({"aggregate": name, "seeds": ", ".join(map(str, common)), "state": state})
    return pd.DataFrame(rows, columns=["aggregate", "seeds", "state"])


def save(
    folder: Path, split: str, aggregate: Aggregate, seed: int, missing: Sequence[str] = ()
) -> Path:
    """Save the predictions and the record of one aggregate, its `missing` members left out. Raises
    `AggregationError` when its members do not fit."""
    members = [member for member in aggregate.members if member not in missing]
    try:
        predictions = mean(
            [artifacts.load_predictions(folder, split, member, seed) for member in members]
        )
    except AggregationError as error:
        raise AggregationError(f"{aggregate.name} on {split}, seed {seed}: {error}") from None
    records = {member: artifacts.read_record(folder, split, member, seed) for member in members}
    record = combined_record(aggregate.name, records) | (
        {"missing": list(missing)} if missing else {}
    )
    return artifacts.save_predictions(folder, split, aggregate.name, seed, predictions, record)


def combined_record(name: str, by_member: dict[str, dict]) -> dict:
    """What the members' records say together. No time or commit: the members have these, and the
    same comes out whenever the average is taken again."""
    records = list(by_member.values())
    first = records[0]
    kept = {key: first.get(key) for key in ("split", "seed", "recipe", "data")}
    hardware = {
        key: _joined([record.get(key) for record in records])
        for key in ("device", "processor", "cores")
    }
    gpus = _joined([record.get("gpu") for record in records])
    totals = {
        key: _total([record.get(key) for record in records])
        for key in ("parameters", "macs", "train_seconds")
    }
    epochs = {member: record.get("epochs") for member, record in by_member.items()}
    return {
        "network": name,
        "members": list(by_member),
        **kept,
        **totals,
        **hardware,
        **({"gpu": gpus} if gpus and hardware["device"] == "gpu" else {}),
        "member_epochs": epochs,
    }


def _total(values: list) -> float | None:
    return None if None in values else round(sum(values), 1)


def _joined(values: list) -> str | int | None:
    """The value that all share, else all of them, listed."""
    known = sorted({value for value in values if value is not None}, key=str)
    return known[0] if len(known) == 1 else ", ".join(map(str, known)) or None


def _lacking(seeds: dict[str, set[int]]) -> str:
    missing = [member for member, there in seeds.items() if not there]
    return (
        f"not run: no predictions of {', '.join(missing)}"
        if missing
        else "not run: members share no seed"
    )
