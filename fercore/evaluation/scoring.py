"""From predictions and labels to results.csv and the tables made of it; never trains.

Accuracies, F1, precision and recall are in % in every table here; precision and recall are averages
over classes.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.data import datasets, fingerprints, splits
from fercore.evaluation import metrics

PARTS = {"validation": artifacts.VALIDATION, "test": artifacts.TEST}
COLUMNS = (
    "table",
    "system",
    "network",
    "split",
    "seed",
    "part",
    "tta",
    "n",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "accuracy_deduplicated",
    "macro_f1",
    "weighted_f1",
    "precision",
    "recall",
    "parameters",
    "macs",
    "train_seconds",
    "device",
    "published",
)


class EvaluationError(ValueError):
    """Predictions that do not belong to the data at hand, or none at all."""


@dataclass(frozen=True)
class Run:
    """The output of a profile and the faces that it was made from."""

    profile: str
    folder: Path
    faces: datasets.Faces
    _prepared: dict = field(default_factory=dict, repr=False, compare=False)

    def predicted(self) -> list[tuple[str, str, int]]:
        """Split, network and seed of its predictions, on the splits that its faces can be
        divided by."""
        found = artifacts.list_predictions(self.folder)
        left_out = splits.obstacles(self.faces, {key[0] for key in found})
        return [key for key in found if key[0] not in left_out]

    def prepared(self, split: str, subset: int | None) -> tuple[datasets.Faces, splits.Partition]:
        """`splits.prepare` of its faces, `subset` of each usage; kept for the next network."""
        key = split, subset
        if key not in self._prepared:
            self._prepared[key] = splits.prepare(datasets.subset(self.faces, subset), split)
        return self._prepared[key]


@dataclass(frozen=True)
class Entry:
    """A row of the study's tables: a network or an aggregate, and what its system published (% by
    split, split)."""

    name: str
    table: str
    system: str
    notebook: str
    published: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """Probabilities [n, c] of one split's faces with their labels [n] and positions in the
    split's `faces`."""

    split: str
    faces: datasets.Faces
    positions: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(1)

    @property
    def right(self) -> np.ndarray:
        return self.predicted == self.labels

    @property
    def matrix(self) -> np.ndarray:
        return metrics.confusion(self.labels, self.predicted, len(self.faces.class_names))


def open_run(faces: datasets.Faces, profile: str | None = None) -> Run:
    """The run of `profile` when its predictions were made on `faces`; without one, the first that
    was: the published one, then the newest. Raises `EvaluationError` that says what to run.
    """
    for name in [profile] if profile else _profiles():
        folder = paths.outputs(name)
        if any(
            made_on(artifacts.read_record(folder, *key), faces)
            for key in artifacts.list_predictions(folder)
        ):
            return Run(name, folder, faces)
    where = f"outputs/{profile}" if profile else "outputs/"
    raise EvaluationError(
        f"{where}: no predictions made on these data ({faces.origin}); execute ./run_all.sh or the "
        "notebooks 10_cnn and 11_vgg on them first"
    )


def made_on(record: dict, faces: datasets.Faces) -> bool:
    """Whether the predictions of a record belong to `faces`: the same data, or another copy of
    FER2013 in the same order (copies differ in the pixels of up to 177 faces, not in labels and
    splits)."""
    data = record.get("data", {})
    if data.get("fingerprint") == faces.fingerprint:
        return True
    both = faces.is_fer2013 and data.get("origin", "").startswith("FER2013")
    return both and fingerprints.in_file_order(faces)


def score(
    run: Run, split: str, network: str, seed: int = 0, *, part: str = "test", tta: bool = True
) -> Scored:
    """The probabilities of a network on one split, joined with the labels given.

    Raises `EvaluationError` when they were made on other data or other faces than the split's.
    """
    record = artifacts.read_record(run.folder, split, network, seed)
    predictions = artifacts.load_predictions(run.folder, split, network, seed)
    return _scored(run, (split, network, seed), record, predictions, part, tta)


def _scored(
    run: Run,
    key: tuple[str, str, int],
    record: dict,
    predictions: artifacts.Predictions,
    part: str,
    tta: bool,
) -> Scored:
    split, network, seed = key
    faces, parts = run.prepared(split, _subset_of(run, record, network))
    positions = getattr(parts, part)
    chosen = predictions.part == PARTS[part]
    order = np.argsort(predictions.row_ids[chosen])
    expected = np.argsort(faces.row_ids[positions])
    if not np.array_equal(predictions.row_ids[chosen][order], faces.row_ids[positions][expected]):
        raise EvaluationError(
            f"{network} on {split}, seed {seed}: its {part} rows are not those of the split; "
            "train it again on the data at hand"
        )
    values = (predictions.probabilities_tta if tta else predictions.probabilities)[chosen][
        order
    ].astype(np.float32)
    return Scored(split, faces, positions[expected], faces.labels[positions[expected]], values)


def score_all(
    run: Run, split: str, seed: int = 0, *, part: str = "test", tta: bool = True
) -> dict[str, Scored]:
    """The networks and aggregates of the study's recipe on one split, in the order of the tables.

    Raises `EvaluationError` when the run has none.
    """
    there = set(run.predicted())
    names = [name for name in catalogue() if (split, name, seed) in there]
    names = [name for name in names if not name.endswith(parameters.PUBLISHED_RECIPE)]
    if not names:
        raise EvaluationError(
            f"outputs/{run.profile}: no predictions on {split} with seed {seed}; execute a "
            "notebook that trains (1x) with them first"
        )
    return {name: score(run, split, name, seed, part=part, tta=tta) for name in names}


def results_row(scored: Scored, deduplicated: np.ndarray | None = None) -> dict:
    """The scores of one split in %, with the 95 % bootstrap interval of accuracy.

    `deduplicated` bool [n]: which of the scored faces have no exact copy in training or validation.
    """
    matrix = scored.matrix
    low, high = metrics.accuracy_interval(matrix)
    unseen = np.nan if deduplicated is None else scored.right[deduplicated].mean()
    values = {
        "accuracy": metrics.accuracy(matrix),
        "accuracy_low": low,
        "accuracy_high": high,
        "accuracy_deduplicated": unseen,
        "macro_f1": metrics.macro_f1(matrix),
        "weighted_f1": metrics.weighted_f1(matrix),
        "precision": metrics.precision(matrix).mean(),
        "recall": metrics.recall(matrix).mean(),
    }
    return {"n": len(scored.labels)} | {
        name: round(100 * float(value), 4) for name, value in values.items()
    }


def results(run: Run) -> pd.DataFrame:
    """results.csv: a row a network or aggregate, split, seed, split and test-time augmentation;
    columns COLUMNS."""
    rows, masks = [], {}
    known = catalogue()
    for split, network, seed in run.predicted():
        record = artifacts.read_record(run.folder, split, network, seed)
        predictions = artifacts.load_predictions(run.folder, split, network, seed)
        entry = known.get(network, Entry(network, "networks", "own", ""))
        for part in PARTS:
            for tta in (False, True):
                scored = _scored(run, (split, network, seed), record, predictions, part, tta)
                mask = _unseen(scored, split, masks) if part == "test" else None
                key = {
                    "table": entry.table,
                    "system": entry.system,
                    "network": network,
                    "split": split,
                    "seed": seed,
                    "part": part,
                    "tta": tta,
                }
                cost = {
                    "parameters": record.get("parameters"),
                    "macs": record.get("macs"),
                    "train_seconds": train_seconds(run, record),
                    "device": hardware(record),
                }
                published = (
                    entry.published.get(split, {}).get(part) if run.faces.is_fer2013 else None
                )
                rows.append(key | results_row(scored, mask) | cost | {"published": published})
    order = {name: place for place, name in enumerate(known)}
    rows.sort(
        key=lambda row: (
            row["split"],
            order.get(row["network"], len(order)),
            row["network"],
            row["seed"],
        )
    )
    return pd.DataFrame(rows, columns=COLUMNS).astype({"parameters": "Int64", "macs": "Int64"})


def train_seconds(run: Run, *records: dict) -> float | None:
    """Seconds that the trainings of these records took, those of their teachers included, each
    once; None where one is not known."""
    counted = {(record["network"], record["seed"]): record for record in records}
    try:
        counted |= {
            (teacher, seed): artifacts.read_record(run.folder, record["split"], teacher, seed)
            for record in records
            for teacher in record.get("teachers", ())
            for seed in record.get("teacher_seeds", [record["seed"]])
        }
    except artifacts.RunError:
        return None
    seconds = [record.get("train_seconds") for record in counted.values()]
    return None if None in seconds else round(sum(seconds), 1)


def save_results(table: pd.DataFrame, folder: Path) -> Path:
    """Write results.csv into the tables of a run."""
    buffer = io.StringIO()
    table.to_csv(buffer, index=False, lineterminator="\n")
    return artifacts.write_atomically(folder / "tables" / "results.csv", buffer.getvalue())


def catalogue() -> dict[str, Entry]:
    """Every network of params/networks and aggregate of params/aggregates.yaml, in the order of the
    tables."""
    aggregates = parameters.aggregates()
    members = [member for aggregate in aggregates.values() for member in aggregate.members]
    files = {name: parameters.network(name) for name in parameters.network_names()}
    names = sorted(
        files,
        key=lambda n: (files[n].get("notebook", ""), members.index(n) if n in members else 99, n),
    )
    found = {
        name: Entry(
            name,
            "networks",
            files[name].get("system", "own"),
            files[name].get("notebook", ""),
            files[name].get("published") or {},
        )
        for name in names
    }
    for name, item in aggregates.items():
        found[name] = Entry(name, "aggregates", item.system, "20_aggregation", item.published)
    found[parameters.STUDY_ENSEMBLE] = Entry(
        parameters.STUDY_ENSEMBLE, "aggregates", "own", "20_aggregation"
    )
    return found


def hardware(record: dict) -> str:
    """The device of a record in words: 'cpu, <processor, without marks>, 2 cores', or 'gpu, <its
    name>'."""
    if record.get("gpu"):
        return f"gpu, {record['gpu']}"
    cores = record.get("cores")
    processor = " ".join(
        re.sub(r"\(\w+\)|\bProcessor\b", "", record.get("processor") or "").split()
    )
    parts = [
        record.get("device"),
        processor,
        f"{cores} core{'s' * (cores != 1)}" if cores else None,
    ]
    return ", ".join(str(part) for part in parts if part)


def _profiles() -> Iterator[str]:
    """Names of the runs at hand: the published one, then the newest first."""
    found = {path.parent.name: path.stat().st_mtime for path in paths.OUTPUTS.glob("*/predictions")}
    yield from sorted(found, key=lambda name: (name != "published", -found[name]))


def _subset_of(run: Run, record: dict, network: str) -> int | None:
    """How many faces of each usage a record's network was trained and tested on; None for all of
    them."""
    data = record.get("data", {})
    if not made_on(record, run.faces):
        raise EvaluationError(
            f"{network}: its predictions were made on other data ({data.get('origin', 'unknown')}) "
            f"than these ({run.faces.origin}); choose another profile, or train it on these"
        )
    return data["subset"]


def _unseen(scored: Scored, split: str, masks: dict) -> np.ndarray:
    """Which scored test faces have no exact copy in training or validation; kept in `masks` for the
    next network."""
    key = split, len(scored.faces)
    if key not in masks:
        parts = splits.divide(scored.faces, split)
        masks[key] = parts.test[splits.deduplicated_test(scored.faces, parts)]
    return np.isin(scored.positions, masks[key])
