"""Accuracy by number of training faces: networks with a descriptor against the one without, on the
same faces."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fercore import artifacts
from fercore.data import splits
from fercore.data.faces import Faces
from fercore.evaluation import metrics, scoring
from fercore.evaluation.scoring import Run, Scored
from fercore.plots import style

FER2013 = "FER2013"
PLAIN = "cnn"
OTHERS = ("sift_cnn", "dsift_cnn", "dsift_cnn_following")
KEY = ["percent", "network", "recipe", "seed"]
COLUMNS = [
    *KEY,
    "data",
    "faces",
    "epochs",
    "accuracy",
    "gain",
    "gain_low",
    "gain_high",
    "together",
    "together_low",
    "together_high",
]


def path(folder: Path) -> Path:
    """The table of a run."""
    return folder / "tables" / "learning_curve.csv"


def collect(run: Run) -> pd.DataFrame:
    """Read the table of a run, bring it up to date with the predictions at hand, write and return
    it.

    The table outlives the predictions, which are too many to be kept in the repository; rows of
    other data are dropped. A row a share of the training faces, network, recipe and seed: percent,
    network, recipe, seed, data, faces, epochs, accuracy in % on test faces averaged over views; for
    a network with a descriptor also `gain` over the plain one of the same recipe and seed in points
    with its 95 % interval (`gain_low`, `gain_high`), and `together`, what the mean of the two's
    probabilities gains over the plain one, with its own. Two networks are mostly better than one,
    whatever the second has learnt from: the control is `together` of a plain network, averaged with
    one of another seed.
    """
    rows = [
        _row(run, split, network, seed)
        for split, network, seed in run.predicted()
        if split in shares() and network in (PLAIN, *OTHERS)
    ]
    return add(run.folder, pd.DataFrame(rows, columns=COLUMNS), data=data_of(run.faces))


def read(folder: Path) -> pd.DataFrame:
    """The table of a run as it is; empty when there is none."""
    return pd.read_csv(path(folder)) if path(folder).exists() else pd.DataFrame(columns=COLUMNS)


def data_of(faces: Faces) -> str:
    """What a row says of its data: copies of FER2013 that differ in a few pixels are one."""
    return FER2013 if faces.is_fer2013 else faces.origin


def add(folder: Path, rows: pd.DataFrame, *, data: str) -> pd.DataFrame:
    """Write rows into the table of a run, in place of those of the same `KEY`; return the table,
    which holds rows of one `data` alone."""
    parts = [part[part.data == data] for part in (read(folder), rows) if (part.data == data).any()]
    if not parts:
        return rows.head(0)
    table = (
        pd.concat(parts)
        .drop_duplicates(KEY, keep="last")
        .sort_values(KEY, ignore_index=True)[COLUMNS]
    )
    artifacts.write_atomically(
        path(folder), table.round(3).to_csv(index=False, lineterminator="\n")
    )
    return table


def shares() -> dict[str, int]:
    """Splits that differ in the share of training faces alone -> that share in %, smallest
    first."""
    some = {
        name: round(100 * split.share) for name, split in splits.SPLITS.items() if split.share < 1
    }
    return dict(sorted(some.items(), key=lambda item: item[1])) | {"official": 100}


def commonest_recipe(table: pd.DataFrame) -> str:
    """The recipe that most shares were learnt by, of equals the one with more rows; "none" of no
    rows. Only its rows make a curve."""
    counts = table.groupby("recipe").agg(shares=("percent", "nunique"), rows=("seed", "size"))
    return counts.sort_values(["shares", "rows"]).index[-1] if len(counts) else "none"


def by_size(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean over seeds of a column, with how many there are and the deviation between them (NaN for
    one): network, recipe, percent, faces, mean, deviation, seeds."""
    groups = table.dropna(subset=[column]).groupby(
        ["network", "recipe", "percent", "faces"], as_index=False
    )[column]
    return groups.agg(mean="mean", deviation="std", seeds="count")


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Gains in points to read, a row a number of training faces and recipe: of each network alone,
    then of each when averaged with the plain one. Means over seeds, behind them each seed's where
    there are several."""
    frame, gains = (
        table.drop_duplicates(["faces", "recipe"])[["faces", "recipe"]].sort_values(
            ["faces", "recipe"]
        ),
        {},
    )
    for column, title in (("gain", "{}"), ("together", f"{PLAIN} + {{}}")):
        for network in (*OTHERS, PLAIN):
            rows = table[(table.network == network) & table[column].notna()]
            if len(rows):
                name = f"another {PLAIN}" if network == PLAIN else network
                gains[title.format(name)] = rows.groupby(["faces", "recipe"])[column].agg(_each)
    index = pd.MultiIndex.from_frame(frame)
    texts = pd.DataFrame(
        {name: values.reindex(index).to_numpy() for name, values in gains.items()}, index=index
    )
    frame = texts.fillna("").reset_index()
    return frame.assign(faces=frame.faces.map("{:,}".format)).rename(
        columns={"faces": "training faces"}
    )


def _each(gains: pd.Series) -> str:
    several = f" ({', '.join(f'{gain:+z.1f}' for gain in gains)})" if len(gains) > 1 else ""
    return f"{gains.mean():+z.1f}{several}".replace(" ", "\u00a0")


def tones() -> dict[str, str]:
    """A colour for each network."""
    return dict(zip((PLAIN, *OTHERS), style.SERIES_COLOURS, strict=False))


@style.style()
def draw_accuracy(table: pd.DataFrame, *, n: int | None = None) -> Figure:
    """Test accuracy by number of training faces, mean over seeds: a line a network by the commonest
    recipe, hollow points by others. `table`: as `collect` returns it; `n`: test faces, where
    known."""
    figure, axis = style.new(height=3.6)
    recipe = commonest_recipe(table)
    means, sizes = by_size(table, "accuracy"), sorted(table.faces.unique())
    for network, tone in tones().items():
        rows = means[means.network == network]
        line, loose = rows[rows.recipe == recipe], rows[rows.recipe != recipe]
        axis.plot(
            line.faces, line["mean"], "o-", ms=4, color=tone, label=network if len(line) else None
        )
        axis.plot(loose.faces, loose["mean"], "o", ms=4, mfc="none", color=tone)
    others = ", ".join(sorted(set(means.recipe) - {recipe}))
    if others:
        axis.plot([], [], "o", ms=4, mfc="none", color=style.INK, label=f"hollow: recipe {others}")
    axis.set_xscale("log")
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.minorticks_off()
    axis.set(
        xlabel="training faces",
        ylabel="test accuracy (%), mean over seeds",
        title="Accuracy by number of training faces" + (f", n = {n:,} test faces" if n else ""),
    )
    axis.legend(title=f"recipe {recipe}", fontsize=8.5)
    return figure


@style.style()
def draw_gains(table: pd.DataFrame) -> Figure:
    """What descriptors bring the plain network, alone (above) and averaged with it (below), with 95
    % intervals: a point a network and seed, a column a number of training faces; on the right,
    hollow, by other recipes than the commonest. A plain network in the panel below is averaged with
    one of another seed.

    `table`: as `collect` returns it.
    """
    recipe = commonest_recipe(table)
    rows = table.dropna(subset=["together"]).assign(other=table.recipe != recipe)
    columns = rows.groupby(["other", "faces", "recipe"])
    figure, axes = style.new(2, 1, height=5.4, sharex=True)
    panels = {"gain": "alone", "together": f"averaged with {PLAIN}"}
    for axis, (name, title) in zip(axes, panels.items(), strict=True):
        for column, (_, part) in enumerate(columns):
            part = part.dropna(subset=[name])
            places = column + 0.11 * (np.arange(len(part)) - (len(part) - 1) / 2)
            for place, row in zip(places, part.to_dict("records"), strict=True):
                spread = [[row[name] - row[f"{name}_low"]], [row[f"{name}_high"] - row[name]]]
                tone = tones()[row["network"]]
                axis.errorbar(
                    place,
                    row[name],
                    spread,
                    fmt="o",
                    ms=4.5,
                    lw=1.2,
                    color=tone,
                    label=row["network"],
                    mfc="white" if row["other"] else tone,
                )
        axis.axhline(0, color=style.MUTED, lw=1)
        axis.set(title=title, ylabel=f"gain over {PLAIN} (points)")
    keys = [key for key, _ in columns]
    twice = {faces for other, faces, _ in keys if other}
    names = [f"{faces:,}" + f"\nby {by}" * (faces in twice) for _, faces, by in keys]
    axes[1].set_xticks(range(len(names)), names)
    axes[1].set_xlabel("training faces")
    figure.legend(handles=_legend(rows, recipe), loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


def _legend(rows: pd.DataFrame, recipe: str) -> list[Line2D]:
    """A mark for each network of `rows`, the plain one first, and for what hollow ones are."""
    marks = {
        name: {"color": tone, "label": f"another {PLAIN}" if name == PLAIN else name}
        for name, tone in tones().items()
        if name in set(rows.network)
    }
    hollow = {"color": style.INK, "mfc": "white", "label": f"hollow: another recipe than {recipe}"}
    shown = [*marks.values(), *[hollow] * int(rows.other.any())]
    return [Line2D([], [], marker="o", ls="", ms=4.5, **mark) for mark in shown]


def _row(run: Run, split: str, network: str, seed: int) -> dict:
    record = artifacts.read_record(run.folder, split, network, seed)
    ours = scoring.score(run, split, network, seed)
    train = splits.divide(ours.faces, split).train
    row = {
        "percent": shares()[split],
        "network": network,
        "seed": seed,
        "faces": len(train),
        "data": data_of(run.faces),
        "recipe": record.get("recipe"),
        "epochs": record.get("epochs"),
        "accuracy": 100 * ours.right.mean(),
    }
    seeds = [
        key[2]
        for key in run.predicted()
        if key[:2] == (split, PLAIN)
        and artifacts.read_record(run.folder, *key).get("recipe") == row["recipe"]
    ]
    if network == PLAIN:
        others = [number for number in seeds if number != seed]
        return row | (
            _together(ours, scoring.score(run, split, PLAIN, min(others))) if others else {}
        )
    if seed not in seeds:
        return row
    plain = scoring.score(run, split, PLAIN, seed)
    change, low, high = metrics.accuracy_change(plain.right, ours.right)
    return row | {"gain": change, "gain_low": low, "gain_high": high} | _together(plain, ours)


def _together(plain: Scored, other: Scored) -> dict:
    """What the mean of two networks' probabilities gains over the first."""
    both = (other.probabilities + plain.probabilities).argmax(1) == plain.labels
    change, low, high = metrics.accuracy_change(plain.right, both)
    return {"together": change, "together_low": low, "together_high": high}
