"""What one change brings: networks, or averages of them, before and after it, compared on the same
test faces."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fercore import artifacts
from fercore.config import parameters
from fercore.data import splits
from fercore.evaluation import metrics, scoring, tables
from fercore.evaluation.scoring import Run
from fercore.plots import style

COLUMNS = [
    "change",
    "before",
    "after",
    "split",
    "views",
    "seeds",
    "n",
    "accuracy_before",
    "accuracy_after",
    "gain",
    "low",
    "high",
    "least",
    "most",
    "published",
]


def collect(run: Run) -> pd.DataFrame:
    """Every pair on every split that both were run on, all its seeds together; a row each, written
    to the run's tables.

    Columns: change (key in params/changes.yaml), before, after, split; views of a face that are averaged: as
    many as both average, else 1; seeds (how many), n (test faces); accuracy_before, accuracy_after
    in %, means over the seeds that both have; gain in points, mean over seeds, with its 95 %
    bootstrap interval over faces (low, high), and the least and most of single seeds; published:
    the gain of the published figures, NaN where split or data are others, or where one figure
    stands for both.
    """
    there = set(run.predicted())
    rows = [
        _row(run, key, before, after, split, seeds)
        for key, change in parameters.changes().items()
        for before, after in change.pairs
        for split in splits.SPLITS
        if splits.SPLITS[split].share == 1
        and (
            seeds := sorted(
                {s for p, name, s in there if (p, name) == (split, before)}
                & {s for p, name, s in there if (p, name) == (split, after)}
            )
        )
    ]
    table = pd.DataFrame(rows, columns=COLUMNS).round(4)
    artifacts.write_atomically(path(run.folder), table.to_csv(index=False, lineterminator="\n"))
    return table


def path(folder: Path) -> Path:
    """The table of a run."""
    return folder / "tables" / "changes.csv"


def as_text(table: pd.DataFrame, change: str) -> pd.DataFrame:
    """The rows of one change to read: before, after, split, accuracies in %, gain with its interval
    and, of several seeds, the least and most of them, published gain where there is one."""
    rows = table[table.change == change]
    frame = pd.DataFrame(
        {
            "before": rows.before,
            "after": rows.after,
            "split": rows.split,
            "accuracy": [
                f"{row.accuracy_before:.1f}\u00a0→\u00a0{row.accuracy_after:.1f}"
                for row in rows.itertuples()
            ],
            "gain": [_gain(row) for row in rows.itertuples()],
            "published gain": ["" if pd.isna(gain) else f"{gain:+z.1f}" for gain in rows.published],
        }
    )
    return frame if rows.published.notna().any() else frame.drop(columns="published gain")


def beyond_chance(table: pd.DataFrame) -> pd.DataFrame:
    """By change: pairs, how many of them gain and how many lose by more than their interval."""
    signs = table.assign(pairs=1, gain=table.low > 0, lose=table.high < 0)
    counts = signs.groupby("change", sort=False)[["pairs", "gain", "lose"]].sum()
    return counts.rename(index={key: change.title for key, change in parameters.changes().items()}).rename_axis(
        None
    )


@style.style()
def draw(table: pd.DataFrame) -> Figure:
    """The gain of each pair with its interval, a panel a change, a line a pair; hollow where the
    interval holds zero. A cross is the published gain, a number at the edge one that lies beyond.
    `table`: as `collect` returns it."""
    keys = list(dict.fromkeys(table.change))
    sizes = [int((table.change == key).sum()) for key in keys]
    heights = [size + 1.6 for size in sizes]
    figure, axes = style.new(
        len(keys),
        1,
        height=1 + 0.185 * sum(heights),
        squeeze=False,
        sharex=True,
        height_ratios=heights,
    )
    left, right = table.low.min() - 0.5, table.high.max() + 0.5
    for axis, key, size in zip(axes[:, 0], keys, sizes, strict=True):
        part = table[table.change == key].reset_index(drop=True)
        _gains(axis, part)
        for edge, side, beyond in (
            (right, "right", part.published > right),
            (left, "left", part.published < left),
        ):
            for place, gain in part.published[beyond].items():
                axis.annotate(
                    f"{gain:+.0f}",
                    (edge, place),
                    ha=side,
                    va="center",
                    fontsize=7.5,
                    color=style.PUBLISHED,
                )
        axis.set_yticks(
            range(size), [f"{row.after}, {row.split}" for row in part.itertuples()], fontsize=7.5
        )
        axis.set(xlim=(left, right), ylim=(size - 0.4, -0.6))
        axis.set_title(" ", fontsize=9)  # makes room for one that begins at the figure's left
        title = axis.annotate(
            parameters.changes()[key].title,
            (0.01, 1),
            (0, 4),
            xycoords=("figure fraction", "axes fraction"),
            textcoords="offset points",
            fontsize=9,
            fontweight="bold",
        )
        title.set_in_layout(False)
    axes[-1, 0].set_xlabel("gain (points)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=8.5)
    return figure


def _gains(axis: Axes, rows: pd.DataFrame) -> None:
    axis.axvline(0, color=style.MUTED, lw=1)
    tone = style.SERIES_COLOURS[0]
    axis.hlines(rows.index, rows.low, rows.high, color=tone, lw=1.6, alpha=0.7)
    chance = (rows.low <= 0) & (rows.high >= 0)
    for part, face, label in (
        (rows[~chance], tone, "gain, 95 %"),
        (rows[chance], "white", "no more than chance"),
    ):
        axis.plot(part.gain, part.index, "o", ms=5, color=tone, mfc=face, label=label)
    axis.plot(
        rows.published, rows.index, "x", ms=5.5, mew=1.5, color=style.PUBLISHED, label="published"
    )
    axis.grid(axis="y", visible=False)


def _row(run: Run, change: str, before: str, after: str, split: str, seeds: list[int]) -> dict:
    averaged = {_views(run, split, name, seeds[0]) for name in (before, after)}
    tta = len(averaged) == 1
    right = [
        np.array([scoring.score(run, split, name, seed, tta=tta).right for seed in seeds])
        for name in (before, after)
    ]
    by_seed = 100 * (right[1].mean(1) - right[0].mean(1))
    gain, low, high = metrics.accuracy_change(*right)
    theirs = [
        scoring.catalogue()[name].published.get(split, {}).get("test", np.nan)
        for name in (before, after)
    ]
    published = theirs[1] - theirs[0] if run.faces.is_fer2013 else np.nan
    return {
        "change": change,
        "before": before,
        "after": after,
        "split": split,
        "views": averaged.pop() if tta else 1,
        "seeds": len(seeds),
        "n": right[0].shape[1],
        "accuracy_before": 100 * right[0].mean(),
        "accuracy_after": 100 * right[1].mean(),
        "gain": gain,
        "low": low,
        "high": high,
        "least": by_seed.min(),
        "most": by_seed.max(),
        "published": published or np.nan,
    }


def _views(run: Run, split: str, name: str, seed: int) -> int | tuple[int, ...]:
    """How many views of a face a network averages; of an average, what its members do."""
    record = artifacts.read_record(run.folder, split, name, seed)
    members = record.get("members")
    if not members:
        return record.get("views", 2)
    named = [
        member.partition(", seed ") for member in members
    ]  # the study's ensemble names seeds of its members
    several = {_views(run, split, member, int(own or seed)) for member, _, own in named}
    return several.pop() if len(several) == 1 else tuple(sorted(several))


def _gain(row: tuple) -> str:
    text = tables.interval(row.gain, row.low, row.high, form="+z.1f")
    several = f"({row.seeds} seeds: {row.least:+z.1f} to {row.most:+z.1f})".replace(" ", "\u00a0")
    return text if row.seeds == 1 else f"{text} {several}"
