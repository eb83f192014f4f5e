"""Figures of predictions: values with intervals, confusion matrices, mistakes; costs of systems."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fercore.plots import SERIES_COLOURS
from fercore.plots.style import INK, MUTED, PUBLISHED, face_sheet, name_points, new, style

IN_CELL: Any = {"ha": "center", "va": "center", "in_layout": False}  # of a matrix
AT_EDGE: Any = {"xycoords": ("axes fraction", "data"), "va": "center"}  # of an annotation
COSTS = {  # column -> label of its axis, and what a row without a value is
    "parameters": ("parameters", "without parameters"),
    "macs": ("multiply-adds a face", "without multiply-adds"),
    "train_seconds": ("training (s, on the cores it had)", "without a time on processors"),
}


@style()
def intervals(
    panels: Mapping[str, pd.DataFrame], *, xlabel: str, changes: bool = False, numbers: bool = False
) -> Figure:
    """Values with their intervals, one line per name from the top, one panel per table. Columns are
    name, value, low, high, and may have: kind, which gives the colour and stands in the
    legend, several of one name side by side; tone, a colour of its own; published, a cross just
    below (beyond all intervals a number at the edge). With `changes` a line marks zero, with hollow
    marks where the interval holds it; with `numbers`, numbers too."""
    tables = {title: _placed(table) for title, table in panels.items()}
    everything = pd.concat(tables.values())
    kinds = dict(zip(everything.kind.unique(), SERIES_COLOURS * 9, strict=False))
    heights = [table.line.max() + 2.2 for table in tables.values()]
    shape: Any = {"squeeze": False, "sharex": True, "height_ratios": heights}
    figure, axes = new(len(tables), 1, height=1 + 0.26 * sum(heights), **shape)
    for axis, (title, table) in zip(axes[:, 0], tables.items(), strict=True):
        if changes:
            axis.axvline(0, color=INK, lw=1)
        row: Any
        for row in table.itertuples():
            tone = row.tone or kinds[row.kind]
            face = "white" if changes and row.low <= 0 <= row.high else tone
            axis.hlines(row.place, row.low, row.high, color=tone, lw=2.2, alpha=0.6)
            axis.plot(row.value, row.place, "o", color=tone, mfc=face, ms=6, mew=1.6)
            if numbers:
                axis.annotate(f"{row.value:.1f}", (1.02, row.place), **AT_EDGE, fontsize=9)
        names = table.drop_duplicates("line")
        axis.set_yticks(names.line, names["name"], fontsize=8.5)
        axis.set(title=textwrap.fill(title, 42), ylim=(table.line.max() + 0.7, -0.7))
        axis.grid(axis="y", visible=False)
        _crosses(axis, table, everything, "+.1f" if changes else ".0f")
    axes[-1, 0].set_xlabel(xlabel)
    marks = _marks(kinds, everything, changes)
    figure.legend(handles=marks, loc="outside upper left", ncols=4, fontsize=8.5)
    return figure


@style()
def confusion_matrix(counts: np.ndarray, class_names: Sequence[str], *, title: str = "") -> Figure:
    """A confusion matrix [c, c]: shares of each label in % (shade, large figures) over counts."""
    figure, axis = new(height=5.4, width=6.2)
    totals = counts.sum(1)
    share = 100 * counts / np.maximum(totals, 1)[:, None]
    _shaded(axis, share, class_names, list(map("{}\nn = {:,}".format, class_names, totals)))
    for (row, column), value in np.ndenumerate(share):
        ink = "white" if value > 65 else INK
        weight = "bold" if row == column else "normal"
        how = IN_CELL | {"color": ink}
        axis.text(column + 0.5, row + 0.43, f"{value:.1f}", weight=weight, **how)
        axis.text(column + 0.5, row + 0.74, f"{counts[row, column]:,}", fontsize=7.5, **how)
    axis.set_xticks(axis.get_xticks(), class_names, rotation=30, ha="right")
    axis.set(xlabel="predicted", ylabel="label given", title=title)
    return figure


@style()
def agreement(shares: np.ndarray, names: Sequence[str], *, title: str = "") -> Figure:
    """Share of faces, in %, on which two networks predict the same; `shares` [k, k] in 0..1. The
    diagonal, a network with itself, is left blank. The more networks, the wider."""
    width, height = min(1.6 + 0.72 * len(names), 10), 1.1 + min(0.5 * len(names), 7.2)
    figure, axis = new(width=width, height=height)
    shares = np.where(np.eye(len(names), dtype=bool), np.nan, 100 * np.asarray(shares, float))
    _shaded(axis, shares, names, names, least=40)
    for (row, column), value in np.ndenumerate(shares):
        if row != column:
            ink = "white" if value > 74 else INK
            axis.text(column + 0.5, row + 0.5, f"{value:.0f}", color=ink, fontsize=9, **IN_CELL)
    axis.set_xticks(axis.get_xticks(), names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_title(title, fontsize=10)
    return figure


def predictions(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    *,
    columns: int = 6,
) -> Figure:
    """Faces with their labels, and below the class predicted of `probabilities` [n, c], in %."""
    predicted = probabilities.argmax(1)
    titles = [
        f"label {class_names[given]}\n{class_names[best]} {100 * row.max():.0f} %"
        for given, best, row in zip(labels, predicted, probabilities, strict=True)
    ]
    return face_sheet(images, titles, columns=columns)


@style()
def costs(table: pd.DataFrame, *, n: int) -> Figure:
    """Test accuracy against parameters, multiply-adds and training seconds, a panel each. Points
    are numbered by their place in `table`; those on the frontier are named too.
    `table` columns: name, system, accuracy, low, high (in %), parameters, macs, train_seconds."""
    table = table.assign(number=[str(place + 1) for place in range(len(table))])
    tones = dict(zip("ABCDE", SERIES_COLOURS, strict=False))  # of the published systems
    named, (figure, axes) = [], new(3, 1, height=14.5)
    for axis, (column, (label, lacks)) in zip(axes, COSTS.items(), strict=True):
        shown = table[table[column].fillna(0) > 0].sort_values(column)
        for system, part in shown.groupby("system"):
            tone = tones.get(str(system), SERIES_COLOURS[5])
            look: Any = {"fmt": "o", "ms": 5, "lw": 0.9, "color": tone, "label": system}
            spread = [part.accuracy - part.low, part.high - part.accuracy]
            axis.errorbar(part[column], part.accuracy, spread, **look)
        best = shown[shown.accuracy == shown.accuracy.cummax()]
        frontier = best[column].repeat(2).iloc[1:], best.accuracy.repeat(2).iloc[:-1]
        axis.plot(*frontier, color=MUTED, lw=1, ls="--", zorder=0)
        without = ", ".join(table.number[~table.index.isin(shown.index)])
        axis.set(xscale="log", ylabel="accuracy (%)")
        axis.set_xlabel(f"{label}\n{lacks}: {without}" if without else label)
        axis.margins(x=0.18)
        plain = mpl.ticker.EngFormatter(sep="")  # 20k, 3M
        axis.xaxis.set_minor_locator(mpl.ticker.LogLocator(subs=(2, 5)))
        axis.xaxis.set(major_formatter=plain, minor_formatter=plain)
        names = shown.number.where(~shown.index.isin(best.index), shown.number + "  " + shown.name)
        spreads = [((row[column],) * 2, (row.low, row.high)) for _, row in shown.iterrows()]
        named.append((axis, shown[column], shown.accuracy, names, [frontier, *spreads]))
    shown, title = axes[0].get_legend_handles_labels()[0], f"system, n = {n:,} faces"
    figure.legend(handles=shown, loc="outside upper left", ncols=6, fontsize=8.5, title=title)
    names = table.number + "  " + table.name + table.accuracy.map("  {:.1f} %".format)
    unmarked: Any = {"handlelength": 0, "handletextpad": 0, "ncols": 2, "fontsize": 7.5}
    figure.legend([_mark(marker="")] * len(names), names, loc="outside lower left", **unmarked)
    for axis, x, y, names, lines in named:  # now that the layout is settled
        name_points(axis, x, y, names, lines=lines)
    return figure


def _placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with all optional columns; `line` of each name, `place` of each mark on it."""
    missing: Any = {"kind": "", "tone": "", "published": np.nan}
    table = table.assign(**{k: v for k, v in missing.items() if k not in table})
    table["line"] = pd.factorize(table["name"])[0].astype(float)
    kinds, count = pd.factorize(table.kind)[0], table.kind.nunique()
    apart = table["name"].duplicated().any()
    return table.assign(place=table.line + apart * 0.7 / count * (kinds - (count - 1) / 2))


def _crosses(axis: Axes, table: pd.DataFrame, everything: pd.DataFrame, form: str) -> None:
    """What was published, or, where it lies beyond all intervals, its number at the edge."""
    low, high = everything.low.min(), everything.high.max()
    row: Any
    for row in table.dropna(subset=["published"]).itertuples():
        place, beyond = row.place + 0.22, int(row.published > high)
        if abs(row.published - (low + high) / 2) <= high - low:
            axis.plot(row.published, place, "x", color=PUBLISHED, ms=6, mew=1.6)
        else:
            look: Any = {"ha": ("left", "right")[beyond], "fontsize": 7.5, "color": PUBLISHED}
            axis.annotate(f" {row.published:{form}} ", (beyond, place), **AT_EDGE, **look)


def _marks(kinds: Mapping[str, str], table: pd.DataFrame, changes: bool) -> list[mpl.lines.Line2D]:
    marks = [_mark(color=tone, label=kind) for kind, tone in kinds.items() if kind]
    if changes and ((table.low <= 0) & (table.high >= 0)).any():
        marks.append(_mark(color=INK, mfc="white", label="hollow: no more than chance"))
    if table.published.notna().any():
        marks.append(_mark(color=PUBLISHED, marker="x", label="published"))
    return marks


def _shaded(
    axis: Axes, values: np.ndarray, columns: Sequence[str], rows: Sequence[str], least: float = 0
) -> None:
    """A matrix of % as shaded cells with the names of its rows and columns, row 0 on top."""
    axis.pcolormesh(values, cmap="Blues", vmin=least, vmax=100, edgecolors="white", linewidth=1)
    middle = np.arange(len(values)) + 0.5
    axis.set_xticks(middle, columns)
    axis.set_yticks(middle, rows)
    axis.set_ylim(len(values), 0)
    axis.tick_params(length=0, labelsize=8.5)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)


def _mark(**how) -> mpl.lines.Line2D:
    return mpl.lines.Line2D([], [], **{"marker": "o", "ls": ""} | how)
