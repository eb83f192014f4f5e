"""Figures of predictions: values with intervals, confusion matrices, calibration, mistakes."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fercore.plots.style import (
    INK,
    PUBLISHED,
    SERIES_COLOURS,
    WIDTH,
    Look,
    face_sheet,
    new,
    style,
)


@style()
def intervals(
    panels: Mapping[str, pd.DataFrame], *, xlabel: str, changes: bool = False, numbers: bool = False
) -> Figure:
    """Values with their intervals, a line a name from the top, a panel a table; panels share the
    horizontal axis.

    Each table has the columns name, value, low, high, and may have: kind, which gives the colour
    and stands in the legend, several of one name side by side; tone, a colour of its own;
    published, a cross just below (a number at the edge where it lies beyond all intervals). With
    `changes` a line marks zero, and a mark is hollow where the interval holds it. With `numbers`
    each value stands at the right.
    """
    tables = {title: _placed(table) for title, table in panels.items()}
    everything = pd.concat(tables.values())
    kinds = dict(zip(everything.kind.unique(), SERIES_COLOURS * 9, strict=False))
    heights = [table.line.max() + 2.2 for table in tables.values()]
    shape: Look = {"squeeze": False, "sharex": True, "height_ratios": heights}
    figure, axes = new(len(tables), 1, height=1 + 0.26 * sum(heights), **shape)
    for axis, (title, table) in zip(axes[:, 0], tables.items(), strict=True):
        if changes:
            axis.axvline(0, color=INK, lw=1)
        rows: list[Any] = list(table.itertuples())
        for row in rows:
            tone = row.tone or kinds[row.kind]
            hollow = changes and row.low <= 0 <= row.high
            axis.hlines(row.place, row.low, row.high, color=tone, lw=2.2, alpha=0.6)
            face = "white" if hollow else tone
            axis.plot(row.value, row.place, "o", color=tone, mfc=face, ms=6, mew=1.6)
        if numbers:
            at: Look = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 9}
            for row in rows:
                axis.annotate(f"{row.value:.1f}", (1.02, row.place), **at)
        names = table.drop_duplicates("line")
        axis.set_yticks(names.line, names["name"], fontsize=8.5)
        axis.set(title=textwrap.fill(title, 42), ylim=(table.line.max() + 0.7, -0.7))
        axis.grid(axis="y", visible=False)
        _crosses(axis, table, everything, "+.0f" if changes else ".0f")
    axes[-1, 0].set_xlabel(xlabel)
    figure.legend(
        handles=_marks(kinds, everything, changes), loc="outside upper left", ncols=4, fontsize=8.5
    )
    return figure


@style()
def confusion_matrix(counts: np.ndarray, class_names: Sequence[str], *, title: str = "") -> Figure:
    """A confusion matrix: share of each given label in % (shade and large figure) over the count
    (small figure). Classes without faces are left out, and the title names them."""
    counts, class_names, title = _with_faces(counts, class_names, title)
    figure, axis = new(height=5.4, width=6.2)
    share, totals = _shares(counts), counts.sum(1)
    _shaded(axis, share, class_names, list(map("{}\nn = {:,}".format, class_names, totals)))
    for (row, column), value in np.ndenumerate(share):
        ink = "white" if value > 65 else INK
        weight = "bold" if row == column else "normal"
        _in_cell(axis, column, row + 0.43, f"{value:.1f}", color=ink, weight=weight)
        _in_cell(axis, column, row + 0.74, f"{counts[row, column]:,}", color=ink, fontsize=7.5)
    axis.set_xticks(axis.get_xticks(), class_names, rotation=30, ha="right")
    axis.set(xlabel="predicted", ylabel="label given", title=title)
    return figure


@style()
def confusion_overview(matrices: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Figure:
    """Many confusion matrices small, shaded by the share of each given label; recall of each class
    on the diagonal."""
    columns = min(3 if len(matrices) <= 9 else 4, len(matrices))
    rows, width = -(-len(matrices) // columns), WIDTH * columns / max(columns, 2)
    side = (width - 0.9) / columns  # what the names of the classes leave
    height = rows * (side + 0.5) + 1.5
    figure, axes = new(
        rows, columns, width=width, height=height, squeeze=False, sharex=True, sharey=True
    )
    for axis in axes.flat[len(matrices) :]:
        axis.set_visible(False)
    for place, (axis, (name, counts)) in enumerate(zip(axes.flat, matrices.items(), strict=False)):
        share = _shares(counts)
        _shaded(axis, share, class_names, class_names)
        for k, value in enumerate(np.diag(share)):
            ink = "white" if value > 65 else INK
            _in_cell(axis, k, k + 0.5, f"{value:.0f}", fontsize=7.5, color=ink)
        right = 100 * np.trace(counts) / max(counts.sum(), 1)
        axis.set_title(f"{_broken(name)}\n{right:.1f} %", fontsize=8.5)
        axis.set(aspect="equal", ylim=(len(class_names), 0))
        axis.tick_params(labelbottom=place >= len(matrices) - columns, labelsize=7.5)
        axis.tick_params(axis="x", labelrotation=90)
    figure.supxlabel("predicted", fontsize=9)
    figure.supylabel("label given", fontsize=9)
    return figure


@style()
def agreement(shares: np.ndarray, names: Sequence[str], *, title: str = "") -> Figure:
    """Share of faces, in %, on which two networks predict the same; `shares` [k, k] in 0..1. The
    diagonal, a network with itself, is left blank. The more networks, the wider, up to what is
    still legible in a column of text."""
    width, height = min(1.6 + 0.72 * len(names), 10), 1.1 + min(0.5 * len(names), 7.2)
    figure, axis = new(width=width, height=height)
    shares = np.where(np.eye(len(names), dtype=bool), np.nan, 100 * np.asarray(shares, float))
    _shaded(axis, shares, names, names, least=40)
    for (row, column), value in np.ndenumerate(shares):
        if row != column:
            ink = "white" if value > 74 else INK
            _in_cell(axis, column, row + 0.5, f"{value:.0f}", color=ink, fontsize=9)
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
    """Faces with the label given, and below it the class predicted and its probability.
    `probabilities` [n, c]."""
    predicted = probabilities.argmax(1)
    titles = [
        f"label {class_names[given]}\n{class_names[best]} {100 * row.max():.0f} %"
        for given, best, row in zip(labels, predicted, probabilities, strict=True)
    ]
    return face_sheet(images, titles, columns=columns)


def _placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with all optional columns; `line` of each name, `place` of each mark on it."""
    missing: Look = {"kind": "", "tone": "", "published": np.nan}
    table = table.assign(**{k: v for k, v in missing.items() if k not in table})
    table["line"] = pd.factorize(table["name"])[0].astype(float)
    kinds, count = pd.factorize(table.kind)[0], table.kind.nunique()
    apart = table["name"].duplicated().any()
    return table.assign(place=table.line + apart * 0.7 / count * (kinds - (count - 1) / 2))


def _crosses(axis: Axes, table: pd.DataFrame, everything: pd.DataFrame, form: str) -> None:
    """What was published, or, where it lies beyond all intervals, its number at the edge."""
    low, high = everything.low.min(), everything.high.max()
    left, right = low - (high - low) / 2, high + (high - low) / 2
    rows: list[Any] = list(table.dropna(subset=["published"]).itertuples())
    for row in rows:
        place = row.place + 0.22
        if left <= row.published <= right:
            axis.plot(row.published, place, "x", color=PUBLISHED, ms=6, mew=1.6)
        else:
            side = "left" if row.published < left else "right"
            at: Look = {"ha": side, "va": "center", "fontsize": 7.5, "color": PUBLISHED}
            edge = 0 if side == "left" else 1
            where = ("axes fraction", "data")
            axis.annotate(f"{row.published:{form}}", (edge, place), xycoords=where, **at)


def _marks(kinds: Mapping[str, str], table: pd.DataFrame, changes: bool) -> list[mpl.lines.Line2D]:
    marks: list[Look] = [{"color": tone, "label": kind} for kind, tone in kinds.items() if kind]
    if changes and ((table.low <= 0) & (table.high >= 0)).any():
        marks.append({"color": INK, "mfc": "white", "label": "hollow: no more than chance"})
    if table.published.notna().any():
        marks.append({"color": PUBLISHED, "marker": "x", "label": "published"})
    plain: Look = {"marker": "o", "ls": "", "ms": 6}
    return [mpl.lines.Line2D([], [], **plain | mark) for mark in marks]


def _with_faces(
    counts: np.ndarray, class_names: Sequence[str], title: str
) -> tuple[np.ndarray, list[str], str]:
    """The classes that have faces or were predicted; the others are named in the title."""
    counts = np.asarray(counts)
    kept = (counts.sum(0) + counts.sum(1)) > 0
    gone = [name for name, some in zip(class_names, kept, strict=True) if not some]
    names = [name for name, some in zip(class_names, kept, strict=True) if some]
    return counts[kept][:, kept], names, f"{title}\nno faces: {', '.join(gone)}" if gone else title


def _shares(counts: np.ndarray) -> np.ndarray:
    """Counts as % of their row."""
    counts = np.asarray(counts)
    return 100 * counts / np.maximum(counts.sum(1), 1)[:, None]


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


def _broken(name: str, longest: int = 18) -> str:
    """A network's name on as many lines as the title of a narrow panel needs."""
    place = name.rfind("_", 0, longest) + 1
    if len(name) <= longest or not place:
        return name
    return f"{name[:place]}\n{_broken(name[place:], longest)}"


def _in_cell(axis: Axes, column: int, height: float, text: str, **how) -> None:
    """Text in the middle of a matrix's column. It lies within the axes, so that the layout need not
    measure it."""
    axis.text(column + 0.5, height, text, ha="center", va="center", in_layout=False, **how)
