"""Figures of whole systems, a point each: beside what was published, by what they cost."""

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fercore.plots.style import INK, MUTED, PUBLISHED, SERIES_COLOURS, Look, name_points, new, style

COSTS = {  # column -> label of its axis, and what a row without a value is
    "parameters": ("parameters", "without parameters"),
    "macs": ("multiply-adds a face", "without multiply-adds"),
    "train_seconds": ("training (s, on the cores it had)", "without a time on processors"),
}


@style()
def outcome(table: pd.DataFrame) -> Figure:
    """What was published (across) and what this study reaches (up, 95 % intervals), a point a row;
    above the line it is more. Hollow: on the official split, not on the published one. Small:
    variants for a figure that validation faces prefer another one for. Of the others those whose
    interval ends below the line bear a number, which the list below explains: name (classes),
    accuracy, the published one.

    `table`: as `tables.outcome` returns it.
    """
    figure, axis = new(height=5.6)
    table = table.dropna(subset=["published", "accuracy"]).reset_index(drop=True)
    behind, table = table[~table.preferred], table[table.preferred]
    same = table.split == table.measured_on
    faint = [_tone(system) for system in behind.system]
    axis.scatter(behind.published, behind.accuracy, s=9, color=faint, alpha=0.5)
    for (system, there), part in table.groupby(["system", same]):
        label, face = (system, _tone(system)) if there else (None, "white")
        _points(axis, part, "published", mfc=face, label=label, color=_tone(system))
    least, most = axis.get_xlim()
    axis.plot([least, most], [least, most], color=PUBLISHED, lw=1, zorder=0)
    words = {"textcoords": "offset points", "fontsize": 8, "color": PUBLISHED}
    axis.annotate("as published", (most, most), (3, 0), **words)
    axis.set(
        xlabel="published accuracy (%)",
        ylabel="accuracy here (%)",
        xlim=(least, most + (most - least) / 8),
        ylim=(max(least, table.low.min() - 2), max(most, table.high.max()) + 2),
    )
    dot = _mark(ms=3, color=INK, alpha=0.5, label="small: another variant")
    hollow = _mark(mfc="white", mec=INK, label="hollow: official split instead")
    systems, _ = axis.get_legend_handles_labels()
    shown = [*systems, *[dot] * bool(len(behind)), *[hollow] * (not same.all())]
    figure.legend(handles=shown, loc="outside upper left", ncols=7, fontsize=8.5, title="system")
    short = table[table.high < table.published].sort_values(["published", "accuracy"])
    numbers = [str(place + 1) for place in range(len(short))]
    lines = [
        f"{number}  {row.name} ({row.classes}): {row.accuracy:.1f} for {row.published:.2f}"
        for number, row in zip(numbers, short.itertuples(index=False), strict=True)
    ]
    _listed(figure, lines)
    points = table[["published", "accuracy"]]
    name_points(axis, short.published, short.accuracy, numbers, points=points)
    return figure


@style()
def costs(table: pd.DataFrame, *, n: int) -> Figure:
    """Test accuracy against parameters, multiply-adds and training seconds, one panel each. Points
    bear their place in `table`, which the list below explains. The frontier is drawn, and what lies
    on it named beside its number.

    `table` columns: name, system, accuracy, low, high (in %), parameters, macs, train_seconds; what
    has no such cost is told below the panel.
    """
    table = table.assign(number=[str(place + 1) for place in range(len(table))])
    named, (figure, axes) = [], new(3, 1, height=14.5)
    for axis, (column, (label, lacks)) in zip(axes, COSTS.items(), strict=True):
        shown = table[table[column].fillna(0) > 0].sort_values(column)
        for system, part in shown.groupby("system"):
            _points(axis, part, column, color=_tone(system), label=system)
        best = shown[shown.accuracy == shown.accuracy.cummax()]
        frontier = best[column].repeat(2).iloc[1:], best.accuracy.repeat(2).iloc[:-1]
        axis.plot(*frontier, color=MUTED, lw=1, ls="--", zorder=0)
        without = ", ".join(table.number[~table.index.isin(shown.index)])
        axis.set(xscale="log", ylabel="accuracy (%)")
        axis.set_xlabel(label + f"\n{lacks}: {without}" * bool(without))
        axis.margins(x=0.18)
        _thousands(axis, shown[column])
        names = shown.number.where(~shown.index.isin(best.index), shown.number + "  " + shown.name)
        spreads = [((row[column],) * 2, (row.low, row.high)) for _, row in shown.iterrows()]
        named.append((axis, shown[column], shown.accuracy, names, [frontier, *spreads]))
    handles, _ = axes[0].get_legend_handles_labels()
    title = f"system, n = {n:,} faces"
    figure.legend(handles=handles, loc="outside upper left", ncols=6, fontsize=8.5, title=title)
    rows = table.itertuples(index=False)
    _listed(figure, [f"{row.number}  {row.name}  {row.accuracy:.1f} %" for row in rows])
    for axis, x, y, names, lines in named:  # now that the layout is settled
        name_points(axis, x, y, names, lines=lines)
    return figure


def _points(axis: Axes, part: pd.DataFrame, column: str, **how) -> None:
    spread = [part.accuracy - part.low, part.high - part.accuracy]
    axis.errorbar(part[column], part.accuracy, spread, fmt="o", ms=5, lw=0.9, **how)


def _mark(**how) -> mpl.lines.Line2D:
    return mpl.lines.Line2D([], [], **{"marker": "o", "ls": ""} | how)


def _thousands(axis: Axes, values: pd.Series) -> None:
    """Ticks as 20k or 3M; between powers of ten only where the axis spans no more than one."""
    plain = mpl.ticker.EngFormatter(sep="")
    wide = len(values) and values.max() > 10 * values.min()
    axis.xaxis.set_major_formatter(plain)
    axis.xaxis.set_minor_locator(mpl.ticker.LogLocator(subs=(2, 5)))
    axis.xaxis.set_minor_formatter(mpl.ticker.NullFormatter() if wide else plain)


def _listed(figure: Figure, lines: Sequence[str]) -> None:
    """Lines of text below the axes, in two columns."""
    blanks = [_mark(marker="")] * len(lines)
    how: Look = {"ncols": 2, "handlelength": 0, "handletextpad": 0, "fontsize": 7.5}
    figure.legend(blanks, lines, loc="outside lower left", **how)


def _tone(system: object) -> str:
    """A published system's colour; the last one is that of the study's own networks, and of any
    other."""
    return dict(zip("ABCDE", SERIES_COLOURS, strict=False)).get(str(system), SERIES_COLOURS[5])
