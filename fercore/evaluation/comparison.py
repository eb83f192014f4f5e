"""Systems compared on the same faces: by one change, by what they cost, by few training faces."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fercore import artifacts
from fercore.config import parameters
from fercore.data.splits import SPLITS
from fercore.evaluation import metrics, scoring, tables
from fercore.evaluation.scoring import Run

FER2013 = "FER2013"
PLAIN = "cnn"
OTHERS = ("sift_cnn", "dsift_cnn", "dsift_cnn_following")
KEY = ["percent", "network", "recipe", "seed"]
GAINS = ["gain", "gain_low", "gain_high", "together", "together_low", "together_high"]
CURVE = [*KEY, "data", "faces", "epochs", "accuracy", *GAINS]
CHANGES = [
    *("change", "before", "after", "split", "views", "seeds", "n"),
    *("accuracy_before", "accuracy_after", "gain", "low", "high", "least", "most", "published"),
]
# how `readable` names columns and writes their values
READABLE: dict[str, tuple[str, Callable]] = {
    "seed": ("seed", str),
    "parameters": ("parameters", "{:,.0f}".format),
    "macs": ("multiply-adds, M", lambda macs: f"{macs / 1e6:,.0f}"),
    "epochs": ("epochs", "{:.0f}".format),
    "best_epoch": ("best epoch", "{:.0f}".format),
    "train_seconds": ("training", artifacts.duration),
    "images_per_second": ("images per second", "{:,.0f}".format),
}


def changes(run: Run) -> pd.DataFrame:
    """Every pair of params/changes.yaml on every split that both were run on, all its seeds
    together; a row each, written to the run's tables as changes.csv.

    Columns: change (its key), before, after, split; views of a face that are averaged: as many as
    both average, else 1; seeds (how many), n (test faces); accuracy_before, accuracy_after in %,
    means over the seeds that both have; gain in points, mean over seeds, with its 95 % bootstrap
    interval over faces (low, high), and the least and most of single seeds; published: the gain of
    the published figures, NaN where split or data are others, or where one figure stands for both.
    """
    seeds: dict[tuple[str, str], set[int]] = {}
    for split, name, seed in run.predicted():
        seeds.setdefault((split, name), set()).add(seed)
    known = scoring.catalogue()
    rows = [
        (key, *_compared(run, split, (before, after), sorted(both), known))
        for key, change in parameters.changes().items()
        for before, after in change.pairs
        for split, chosen in SPLITS.items()
        if chosen.share == 1
        and (both := seeds.get((split, before), set()) & seeds.get((split, after), set()))
    ]
    table = pd.DataFrame(rows, columns=CHANGES).round(4)
    tables.save_csv(table, run.folder, "changes")
    return table


def changes_text(table: pd.DataFrame, change: str) -> pd.DataFrame:
    """The rows of one change to read: before, after, split, accuracies in %, gain with its interval
    and, of several seeds, the least and most of them, published gain where there is one."""
    rows = table[table.change == change]
    accuracies = rows[["accuracy_before", "accuracy_after"]].map("{:.1f}".format)
    frame = rows[["before", "after", "split"]].assign(
        accuracy=accuracies.agg("\u00a0→\u00a0".join, axis=1) if len(rows) else "",
        gain=[_gain(row) for row in rows.itertuples()],
    )
    if rows.published.notna().any():
        frame["published gain"] = rows.published.map("{:+z.1f}".format, "ignore").fillna("")
    return frame


def read_curve(folder: Path) -> pd.DataFrame:
    """The learning curve of a run as it is; empty when there is none."""
    path = folder / "tables" / "learning_curve.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=CURVE)


def add_to_curve(folder: Path, rows: pd.DataFrame, *, data: str) -> pd.DataFrame:
    """Write rows into the learning curve of a run, in place of those of the same `KEY`; return the
    table, which holds rows of one `data` alone."""
    parts = [part[part.data == data] for part in (read_curve(folder), rows)]
    parts = [part for part in parts if len(part)]
    if not parts:
        return rows.head(0)
    table = pd.concat(parts).drop_duplicates(KEY, keep="last")
    table = table.sort_values(KEY, ignore_index=True)[CURVE]
    tables.save_csv(table.round(3), folder, "learning_curve")
    return table


def curve_text(table: pd.DataFrame) -> pd.DataFrame:
    """Gains in points to read, a row a number of training faces and recipe: of each network alone,
    then of each when averaged with the plain one. Means over seeds, then each of several."""
    keys, gains = ["faces", "recipe"], {}
    for column, title in (("gain", "{}"), ("together", f"{PLAIN} + {{}}")):
        for network in (*OTHERS, PLAIN):
            rows = table[(table.network == network) & table[column].notna()]
            if len(rows):
                name = f"another {PLAIN}" if network == PLAIN else network
                gains[title.format(name)] = rows.groupby(keys)[column].agg(_each)
    index = pd.MultiIndex.from_frame(table.drop_duplicates(keys)[keys].sort_values(keys))
    frame = pd.DataFrame({name: column.reindex(index) for name, column in gains.items()}, index)
    frame = frame.fillna("").reset_index()
    frame["faces"] = frame.faces.map("{:,}".format)
    return frame.rename(columns={"faces": "training faces"})


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table as of `ranking`, or of trainings, as text: accuracy with its interval, numbers
    rounded, times as durations; what is not known stays NaN."""
    text = tables.with_interval(table, "accuracy") if "accuracy" in table else table.copy()
    for column in text.select_dtypes("number"):
        whole = pd.api.types.is_integer_dtype(text[column])
        form = READABLE.get(str(column), ("", f"{{:{',' if whole else '.1f'}}}".format))[1]
        text[column] = text[column].map(form, na_action="ignore")
    text = text.replace(" ", "\u00a0", regex=True)  # one line a row
    return text.rename(columns={column: name for column, (name, _) in READABLE.items()})


def ranking(results: pd.DataFrame, split: str) -> pd.DataFrame:
    """Every network and aggregate of a split, mean over seeds, most accurate first: name, table,
    system, accuracy, low, high (test, in %, views averaged), published (on this split, else one
    of these classes), parameters, macs, train_seconds (NaN where a GPU had a part)."""
    chosen = results[(results.split == split) & (results.part == "test") & results.tta]
    costs = ["parameters", "macs", "train_seconds"]
    chosen = chosen.astype(dict.fromkeys(costs, float))
    on_gpu = chosen.device.fillna("").str.contains("gpu")
    chosen["train_seconds"] = chosen.train_seconds.mask(on_gpu)
    names = {"network": "name", "accuracy_low": "low", "accuracy_high": "high"}
    groups = chosen.rename(columns=names).groupby(["name", "table", "system"], as_index=False)
    frame = groups[["accuracy", "low", "high", *costs]].mean()
    alike = [k for k, one in SPLITS.items() if one.class_names == SPLITS[split].class_names]
    order = [split, *alike]
    theirs = {
        name: next((one.published[k].get("test") for k in order if k in one.published), None)
        for name, one in scoring.catalogue().items()
    }
    frame.insert(6, "published", frame.name.map(theirs).astype(float))
    return frame.sort_values("accuracy", ascending=False, ignore_index=True)


def _compared(
    run: Run, split: str, pair: tuple[str, ...], seeds: list[int], known: dict[str, scoring.Entry]
) -> tuple:
    records = [artifacts.read_record(run.folder, split, name, seeds[0]) for name in pair]
    averaged = {record.get("views", 2) for record in records}
    tta = len(averaged) == 1
    before, after = (
        np.array([scoring.score(run, split, name, seed, tta=tta).right for seed in seeds])
        for name in pair
    )
    by_seed = 100 * (after.mean(1) - before.mean(1))
    theirs = [known[name].published.get(split, {}).get("test", np.nan) for name in pair]
    differ = run.faces.is_fer2013 and theirs[0] != theirs[1]  # variants share what was published
    published = theirs[1] - theirs[0] if differ else np.nan
    size = averaged.pop() if tta else 1, len(seeds), before.shape[1]
    accuracies = 100 * before.mean(), 100 * after.mean()
    gain = *metrics.accuracy_change(before, after), by_seed.min(), by_seed.max()
    return *pair, split, *size, *accuracies, *gain, published


def _gain(row: Any) -> str:
    text = tables.interval(row.gain, row.low, row.high, form="+z.1f")
    several = f"({row.seeds} seeds: {row.least:+z.1f} to {row.most:+z.1f})".replace(" ", "\u00a0")
    return text if row.seeds == 1 else f"{text} {several}"


def _each(gains: pd.Series) -> str:
    several = f" ({', '.join(f'{gain:+z.1f}' for gain in gains)})" if len(gains) > 1 else ""
    return f"{gains.mean():+z.1f}{several}".replace(" ", "\u00a0")
