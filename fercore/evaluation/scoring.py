"""From predictions and labels to results.csv, in %; never trains, and needs no pixels."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.config.parameters import PUBLISHED_RECIPE, STUDY_ENSEMBLE
from fercore.data import datasets, fer2013, splits
from fercore.data.faces import Faces
from fercore.evaluation import metrics

PARTS = {"validation": artifacts.VALIDATION, "test": artifacts.TEST}
SCORES = ["accuracy", "accuracy_low", "accuracy_high", "accuracy_deduplicated"]
SCORES += ["macro_f1", "weighted_f1", "precision", "recall"]
COLUMNS = (
    *("table", "system", "network", "split", "seed", "part", "tta", "n"),
    *SCORES,
    *("parameters", "macs", "train_seconds", "device", "published"),
)
Key = tuple[str, str, int]  # split, network and seed of predictions


class EvaluationError(ValueError):
    """Predictions that do not belong to the data at hand or to each other, or too few of them."""


@dataclass(frozen=True)
class Run:
    """The output of a profile and the faces that it was made from."""

    profile: str
    folder: Path
    faces: Faces

    def predicted(self) -> list[Key]:
        """Its predictions, on the splits that its faces can be divided by."""
        found = artifacts.list_predictions(self.folder)
        left_out = splits.obstacles(self.faces, {key[0] for key in found})
        return [key for key in found if key[0] not in left_out]


@dataclass(frozen=True)
class Entry:
    """A network or an aggregate, and what its system published (% by split and part)."""

    name: str
    table: str
    system: str
    notebook: str
    published: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """Probabilities [n, c] of one part of a split, its labels [n] and its positions in `faces`."""

    split: str
    faces: Faces
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


def at_hand(data: str | None = None, profile: str | None = None) -> Run:
    """The run that `open_run` finds for the faces that `datasets.load` finds. Where FER2013 is not
    at hand and no run was made on synthetic faces, what is known of FER2013 without its pixels."""
    faces = datasets.load(data)
    try:
        return open_run(faces, profile)
    except EvaluationError:
        if data is not None or faces.is_fer2013:
            raise
    return open_run(datasets.facts(), profile)


def open_run(faces: Faces, profile: str | None = None) -> Run:
    """The run of `profile` when its predictions were made on `faces`; without one, the published
    run, then the newest that was. Raises `EvaluationError` that says what to run."""
    found = {path.parent.name: path.stat().st_mtime for path in paths.OUTPUTS.glob("*/predictions")}
    newest = sorted(found, key=lambda name: (name != "published", -found[name]))
    for name in [profile] if profile else newest:
        folder = paths.outputs(name)
        keys = artifacts.list_predictions(folder)
        if any(made_on(artifacts.read_record(folder, *key), faces) for key in keys):
            return Run(name, folder, faces)
    where = f"outputs/{profile}" if profile else "outputs/"
    cure = "execute ./run_all.sh or the notebooks 10_cnn and 11_vgg on them first"
    raise EvaluationError(f"{where}: no predictions made on these data ({faces.origin}); {cure}")


def made_on(record: dict, faces: Faces) -> bool:
    """Whether the predictions of a record belong to `faces`: the same data, or another copy of
    FER2013, which may differ in the pixels of up to 177 faces."""
    data = record.get("data", {})
    if data.get("fingerprint") == faces.fingerprint:
        return True
    both = faces.is_fer2013 and data.get("origin", "").startswith("FER2013")
    return both and fer2013.rows_agree(faces)


def score(
    run: Run, split: str, network: str, seed: int = 0, *, part: str = "test", tta: bool = True
) -> Scored:
    """The probabilities of a network on one part of a split with the labels given; with `tta`
    averaged over views. Raises `EvaluationError` when made on other faces than the split's."""
    record = artifacts.read_record(run.folder, split, network, seed)
    predictions = artifacts.load_predictions(run.folder, split, network, seed)
    faces, parts = _prepared(run, split, record)
    positions, chosen = getattr(parts, part), predictions.part == PARTS[part]
    order = np.argsort(predictions.row_ids[chosen])
    expected = positions[np.argsort(faces.row_ids[positions])]
    if not np.array_equal(predictions.row_ids[chosen][order], faces.row_ids[expected]):
        fault = f"its {part} rows are not those of the split; train it again on the data at hand"
        raise EvaluationError(f"{network} on {split}, seed {seed}: {fault}")
    plain, averaged = predictions.of(PARTS[part])
    probabilities = (averaged if tta else plain)[order].astype(np.float32)
    return Scored(split, faces, expected, faces.labels[expected], probabilities)


def score_all(run: Run, split: str, seed: int = 0, *, part: str = "test") -> dict[str, Scored]:
    """The networks and aggregates of the study's recipe on one part, views averaged, in the order
    of the tables. Raises `EvaluationError` when the run has none."""
    there = {key[1] for key in run.predicted() if key[::2] == (split, seed)}
    names = [one for one in catalogue() if one in there and not one.endswith(PUBLISHED_RECIPE)]
    if not names:
        fault = f"no predictions on {split} with seed {seed}"
        cure = "execute a notebook that trains (1x) with them first"
        raise EvaluationError(f"outputs/{run.profile}: {fault}; {cure}")
    return {name: score(run, split, name, seed, part=part) for name in names}


def results_row(scored: Scored, deduplicated: np.ndarray | None = None) -> dict:
    """The scores of one part in %, with the 95 % bootstrap interval of accuracy. `deduplicated`
    bool [n]: which faces have no exact duplicate in training or validation."""
    left = np.zeros(0) if deduplicated is None else scored.right[deduplicated]
    values = metrics.scores(scored.matrix)
    values["accuracy_deduplicated"] = left.mean() if len(left) else np.nan
    percent = {name: round(100 * float(values[name]), 4) for name in SCORES}
    return {"n": len(scored.labels)} | percent


def results(run: Run, split: str | None = None) -> pd.DataFrame:
    """results.csv: one row per network or aggregate, split, seed, part and test-time augmentation;
    columns COLUMNS. Of one `split` alone, where it is given."""
    known, rows = catalogue(), []
    for key in ordered(key for key in run.predicted() if split in (None, key[0])):
        place, network, seed = key
        record = artifacts.read_record(run.folder, *key)
        entry = known.get(network, Entry(network, "networks", "own", ""))
        theirs = entry.published.get(place, {}) if run.faces.is_fer2013 else {}
        fixed = (entry.table, entry.system, network, place, seed)
        size = record.get("parameters"), record.get("macs")
        costs = (*size, train_seconds(run, record), hardware(record))
        faces, parts = _prepared(run, place, record)
        apart = parts.test[splits.deduplicated_test(faces, parts)]
        for part, tta in itertools.product(PARTS, (False, True)):
            scored = score(run, *key, part=part, tta=tta)
            unseen = np.isin(scored.positions, apart) if part == "test" else None
            scores = results_row(scored, unseen).values()
            rows.append((*fixed, part, tta, *scores, *costs, theirs.get(part)))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"parameters": "Int64", "macs": "Int64"})


def ordered(keys: Iterable[Key]) -> list[Key]:
    """By split, then in the order of the tables, which others than the study's networks end."""
    place = {name: number for number, name in enumerate(catalogue())}
    return sorted(keys, key=lambda key: (key[0], place.get(key[1], len(place)), *key[1:]))


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
    return total(record.get("train_seconds") for record in counted.values())


def total(values: Iterable[float | None]) -> float | None:
    """The sum, to a tenth; None where a value is not known."""
    known = list(values)
    return None if None in known else round(sum(filter(None, known)), 1)


def catalogue() -> dict[str, Entry]:
    """Every network of params/networks and aggregate, by name, in the order of the tables."""
    averages = parameters.aggregates()
    members = [name for average in averages.values() for name in average.members]
    found = []
    for name in parameters.names("networks"):
        one = parameters.network(name)
        about = one.get("system", "own"), one["notebook"], one.get("published") or {}
        found.append(Entry(name, "networks", *about))
    place = {name: number for number, name in enumerate(dict.fromkeys(members))}
    found.sort(key=lambda one: (one.notebook, place.get(one.name, len(place)), one.name))
    for name, average in averages.items():
        found.append(Entry(name, "aggregates", average.system, "20_aggregation", average.published))
    found.append(Entry(STUDY_ENSEMBLE, "aggregates", "own", "20_aggregation"))
    return {entry.name: entry for entry in found}


def hardware(record: dict) -> str:
    """The device of a record in words: 'cpu, <processor>, 2 cores', or 'gpu, <its name>'."""
    if record.get("gpu"):
        return f"gpu, {record['gpu']}"
    cores, marks = record.get("cores"), r"\(\w+\)|\bProcessor\b"
    processor = " ".join(re.sub(marks, "", record.get("processor") or "").split())
    counted = f"{cores} core{'s' * (cores != 1)}" if cores else None
    return ", ".join(str(one) for one in (record.get("device"), processor, counted) if one)


def _prepared(run: Run, split: str, record: dict) -> tuple[Faces, splits.Partition]:
    """`splits.prepare` of the faces that a record's network was trained and tested on. Raises
    `EvaluationError` where these were other data."""
    if not made_on(record, run.faces):
        origin = record.get("data", {}).get("origin", "unknown")
        fault = f"its predictions are of other data ({origin}) than these ({run.faces.origin})"
        cure = "choose another profile, or train it on these"
        raise EvaluationError(f"{record['network']}: {fault}; {cure}")
    return splits.prepare(datasets.subset(run.faces, record["data"]["subset"]), split)
