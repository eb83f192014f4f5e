"""Figures of predictions: matrices, intervals, gains, calibration, mistakes; in the style of
`figures`."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fercore.plots.style import (
    INK,
    MUTED,
    PUBLISHED,
    SERIES_COLOURS,
    WIDTH,
    colours,
    face_sheet,
    new,
    style,
)


@style()
def confusion_matrix(counts: np.ndarray, class_names: Sequence[str], *, title: str = "") -> Figure:
    """A confusion matrix: share of each given label in % (shade and large figure) over the count
    (small figure)."""
    figure, axis = new(height=5.4, width=6.2)
    counts = np.asarray(counts)
    totals = counts.sum(1)
    share = 100 * counts / np.maximum(totals, 1)[:, None]
    axis.pcolormesh(share, cmap="Blues", vmin=0, vmax=100, edgecolors="white", linewidth=1)
    for (row, column), value in np.ndenumerate(share):
        ink = "white" if value > 65 else INK
        weight = "bold" if row == column else "normal"
        _in_cell(axis, column, row + 0.43, f"{value:.1f}", color=ink, weight=weight)
        _in_cell(axis, column, row + 0.74, f"{counts[row, column]:,}", color=ink, fontsize=7.5)
    middle = np.arange(len(counts)) + 0.5
    axis.set_xticks(middle, class_names, rotation=30, ha="right", rotation_mode="anchor")
    axis.set_yticks(
        middle, [f"{name}\nn = {n:,}" for name, n in zip(class_names, totals, strict=True)]
    )
    axis.set(xlabel="predicted", ylabel="label given", title=title)
    axis.invert_yaxis()
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    return figure


@style()
def confusion_overview(matrices: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Figure:
    """Many confusion matrices small, shaded by the share of each given label; recall of each class
    on the diagonal."""
    columns = min(
        3 if len(matrices) <= 9 else 4, len(matrices)
    )  # more rows than six are too high for a sheet of paper
    rows, width = -(-len(matrices) // columns), WIDTH * columns / max(columns, 2)
    side = (width - 0.9) / columns  # what the names of the classes leave
    below = 2 if len(matrices) % columns else 1  # rows of panels with the classes' names below some
    height = rows * (side + 0.5) + 0.75 * below
    figure, axes = new(
        rows, columns, width=width, height=height, squeeze=False, sharex=True, sharey=True
    )
    for axis in axes.flat[len(matrices) :]:
        axis.set_visible(False)
    middle = np.arange(len(class_names)) + 0.5
    for place, (axis, (name, counts)) in enumerate(zip(axes.flat, matrices.items(), strict=False)):
        share = 100 * counts / np.maximum(counts.sum(1), 1)[:, None]
        axis.pcolormesh(share, cmap="Blues", vmin=0, vmax=100, edgecolors="white", linewidth=0.5)
        for k, value in enumerate(np.diag(share)):
            _in_cell(
                axis, k, k + 0.5, f"{value:.0f}", fontsize=7.5, color="white" if value > 65 else INK
            )
        axis.set(aspect="equal", ylim=(len(class_names), 0))
        axis.set_title(
            f"{_broken(name)}\n{100 * np.trace(counts) / max(counts.sum(), 1):.1f} %", fontsize=8.5
        )
        axis.set_xticks(middle, class_names, rotation=90, fontsize=7.5)
        axis.set_yticks(middle, class_names, fontsize=7.5)
        axis.tick_params(length=0, labelbottom=place >= len(matrices) - columns)
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
    figure.supxlabel("predicted", fontsize=9)
    figure.supylabel("label given", fontsize=9)
    return figure


@style()
def accuracies(table: pd.DataFrame, *, n: int, xlabel: str = "test accuracy (%)") -> Figure:
    """Accuracy with its interval, a line a row, from the top; a cross just below marks what was
    published.

    `table` columns: name, accuracy, low, high, published (NaN where none), table ('networks' or
    'aggregates'); in %.
    """
    figure, axis = new(height=0.9 + 0.3 * len(table))
    tones = {"networks": SERIES_COLOURS[0], "aggregates": SERIES_COLOURS[1]}
    places = np.arange(len(table))
    for kind, tone in tones.items():
        chosen = (table.table == kind).to_numpy()
        part, rows = table[chosen], places[chosen]
        axis.hlines(rows, part.low, part.high, color=tone, lw=2.2, alpha=0.6)
        axis.plot(
            part.accuracy,
            rows,
            "o",
            color=tone,
            ms=6.5,
            label=kind.removesuffix("s") if len(part) else None,
        )
    for row, value in enumerate(table.accuracy):
        axis.annotate(
            f"{value:.1f}", (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=9
        )
    if table.published.notna().any():
        axis.plot(
            table.published,
            places + 0.22,
            "x",
            color=PUBLISHED,
            ms=6.5,
            mew=1.8,
            label="published (its own split)",
        )
    axis.set_yticks(places, table["name"])
    axis.set(xlabel=f"{xlabel}, n = {n:,}", ylim=(len(table) - 0.4, -0.6))
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=3, fontsize=8.5)
    return figure


@style()
def class_changes(
    tables: Mapping[str, pd.DataFrame], *, xlabel: str = "change of recall (points)"
) -> Figure:
    """What each class gains or loses, with intervals, a panel a comparison; hollow where the
    interval holds zero.

    `tables`: title -> columns class, n, change, low, high.
    """
    figure, axes = new(1, len(tables), height=3.3, sharey=True, sharex=True, squeeze=False)
    for axis, (title, table) in zip(axes[0], tables.items(), strict=True):
        axis.axvline(0, color=INK, lw=1)
        for row, (item, tone) in enumerate(
            zip(table.itertuples(), colours(table["class"]), strict=True)
        ):
            sure = item.low > 0 or item.high < 0
            axis.hlines(row, item.low, item.high, color=tone, lw=2.4)
            axis.plot(
                item.change, row, "o", color=tone, mfc=tone if sure else "white", mew=1.8, ms=7
            )
        axis.set(title=title, xlabel=xlabel)
        names = [f"{name}\nn = {n:,}" for name, n in zip(table["class"], table.n, strict=True)]
        axis.set_yticks(range(len(table)), names, fontsize=8.5)
        axis.grid(axis="y", visible=False)
    axes[0, 0].invert_yaxis()
    return figure


@style()
def reliability(
    tables: Mapping[str, pd.DataFrame], errors: Mapping[str, float], *, columns: int = 3
) -> Figure:
    """Accuracy against confidence, a panel a network, bars by bin, the shade says how many faces
    are in it.

    `tables`: name -> columns left, right, n, confidence, accuracy in 0..1; `errors`: name ->
    calibration error, 0..1.
    """
    columns = min(columns, len(tables))
    rows = -(-len(tables) // columns)
    figure, axes = new(
        rows,
        columns,
        width=max(2.2 * columns, 3.4),
        height=2.35 * rows + 0.3,
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axis in axes.flat[len(tables) :]:
        axis.set_visible(False)
    for axis, (name, table) in zip(axes.flat, tables.items(), strict=False):
        shade = mpl.colormaps["Blues"](0.25 + 0.65 * np.sqrt(table.n / table.n.max()))
        axis.bar(
            table.left, table.accuracy, (table.right - table.left) * 0.94, align="edge", color=shade
        )
        axis.plot([0, 1], [0, 1], color=MUTED, lw=1, ls="--")
        axis.plot(table.confidence, table.accuracy, ".", color=SERIES_COLOURS[1], ms=5)
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axis.set_title(f"{_broken(name)}\nECE {100 * errors[name]:.1f} %", fontsize=9)
        axis.tick_params(labelbottom=True)
    figure.supxlabel("confidence: probability of the predicted class", fontsize=9)
    figure.supylabel("accuracy", fontsize=9)
    return figure


@style()
def agreement(shares: np.ndarray, names: Sequence[str], *, title: str = "") -> Figure:
    """Share of faces, in %, on which two networks predict the same; `shares` [k, k] in 0..1. The
    diagonal, a network with itself, is left blank. The more networks, the wider, up to what is
    still legible in a column of text."""
    figure, axis = new(
        width=min(1.6 + 0.72 * len(names), 10), height=1.1 + min(0.5 * len(names), 7.2)
    )
    shares = np.where(np.eye(len(names), dtype=bool), np.nan, 100 * np.asarray(shares, float))
    axis.pcolormesh(shares, cmap="Blues", vmin=40, vmax=100, edgecolors="white", linewidth=1)
    for (row, column), value in np.ndenumerate(shares):
        if row != column:
            _in_cell(
                axis,
                column,
                row + 0.5,
                f"{value:.0f}",
                color="white" if value > 74 else INK,
                fontsize=9,
            )
    middle = np.arange(len(names)) + 0.5
    axis.set_xticks(middle, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8.5)
    axis.set_yticks(middle, names, fontsize=8.5)
    axis.set_title(title, fontsize=10)
    axis.invert_yaxis()
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    return figure


def answers(
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
        f"label {class_names[given]}\n{class_names[said]} {100 * row.max():.0f} %"
        for given, said, row in zip(labels, predicted, probabilities, strict=True)
    ]
    return face_sheet(images, titles, columns=columns)


def _broken(name: str, longest: int = 18) -> str:
    """A network's name on as many lines as the title of a narrow panel needs."""
    place = name.rfind("_", 0, longest) + 1
    return (
        name
        if len(name) <= longest or not place
        else f"{name[:place]}\n{_broken(name[place:], longest)}"
    )


def _in_cell(axis: Axes, column: int, height: float, text: str, **how) -> None:
    """Text in the middle of a matrix's column. It lies within the axes, so that the layout need not
    measure it."""
    axis.text(column + 0.5, height, text, ha="center", va="center", in_layout=False, **how)
