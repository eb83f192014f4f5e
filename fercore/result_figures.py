"""Figures of results: matrices, intervals, gains, calibration, mistakes; in the style of `figures`."""
import itertools
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fercore.figures import INK, MUTED, PUBLISHED, SERIES_COLOURS, WIDTH, colours, face_sheet, name_points, new, style


@style()
def confusion_matrix(counts: np.ndarray, class_names: Sequence[str], *, title: str = "") -> Figure:
    """A confusion matrix: share of each given label in % (shade and large figure) over the count (small figure)."""
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
    axis.set_yticks(middle, [f"{name}\nn = {n:,}" for name, n in zip(class_names, totals, strict=True)])
    axis.set(xlabel="predicted", ylabel="label given", title=title)
    axis.invert_yaxis()
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    return figure


@style()
def confusion_overview(matrices: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Figure:
    """Many confusion matrices small, shaded by the share of each given label; recall of each class on the diagonal."""
    columns = min(3 if len(matrices) <= 9 else 4, len(matrices))  # more rows than six are too high for a sheet of paper
    rows, size = -(-len(matrices) // columns), WIDTH / max(columns, 2)
    figure, axes = new(rows, columns, width=size * columns, height=rows * (size + 0.25) + 1.3, squeeze=False,
                       sharex=True, sharey=True)
    for axis in axes.flat[len(matrices):]:
        axis.set_visible(False)
    middle = np.arange(len(class_names)) + 0.5
    for place, (axis, (name, counts)) in enumerate(zip(axes.flat, matrices.items(), strict=False)):
        share = 100 * counts / np.maximum(counts.sum(1), 1)[:, None]
        axis.pcolormesh(share, cmap="Blues", vmin=0, vmax=100, edgecolors="white", linewidth=0.5)
        for k, value in enumerate(np.diag(share)):
            _in_cell(axis, k, k + 0.5, f"{value:.0f}", fontsize=7.5, color="white" if value > 65 else INK)
        axis.set(aspect="equal", ylim=(len(class_names), 0))
        axis.set_title(f"{_broken(name)}\n{100 * np.trace(counts) / max(counts.sum(), 1):.1f} %", fontsize=8.5)
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
    """Accuracy with its interval, a line a row, from the top; a cross just below marks what was published.

    `table` columns: name, accuracy, low, high, published (NaN where none), table ('networks' or 'aggregates'); in %.
    """
    figure, axis = new(height=0.9 + 0.3 * len(table))
    tones = {"networks": SERIES_COLOURS[0], "aggregates": SERIES_COLOURS[1]}
    places = np.arange(len(table))
    for kind, tone in tones.items():
        chosen = (table.table == kind).to_numpy()
        part, rows = table[chosen], places[chosen]
        axis.hlines(rows, part.low, part.high, color=tone, lw=2.2, alpha=0.6)
        axis.plot(part.accuracy, rows, "o", color=tone, ms=6.5, label=kind.removesuffix("s") if len(part) else None)
    for row, value in enumerate(table.accuracy):
        axis.annotate(f"{value:.1f}", (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    if table.published.notna().any():
        axis.plot(table.published, places + 0.22, "x", color=PUBLISHED, ms=6.5, mew=1.8,
                  label="published (its own split)")
    axis.set_yticks(places, table["name"])
    axis.set(xlabel=f"{xlabel}, n = {n:,}", ylim=(len(table) - 0.4, -0.6))
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=3, fontsize=8.5)
    return figure


@style()
def outcome(table: pd.DataFrame) -> Figure:
    """What was published (across) and what this study reaches (up, 95 % intervals), a point a row; above the line it is
    more. Hollow: on the official split, not on the published one. Small: recipes for a figure that validation faces
    prefer another one for. Of the others those whose interval ends below the line bear a number, which the list below
    explains: name (classes), accuracy, the published one.

    `table`: as `outcome.compared` returns it.
    """
    figure, axis = new(height=5.6)
    table = table.dropna(subset=["published", "accuracy"]).reset_index(drop=True)
    behind, table = table[~table.preferred], table[table.preferred]
    same = table.protocol == table.measured_on
    axis.scatter(behind.published, behind.accuracy, s=9, color=[_tone(system) for system in behind.system], alpha=0.5)
    for (system, there), part in table.groupby(["system", same]):
        spread = [part.accuracy - part.low, part.high - part.accuracy]
        axis.errorbar(part.published, part.accuracy, spread, fmt="o", ms=5.5, lw=1, color=_tone(system),
                      mfc=_tone(system) if there else "white", label=system if there else None)
    hollow = mpl.lines.Line2D([], [], marker="o", ls="", mfc="white", mec=INK, label="hollow: official split instead")
    dot = mpl.lines.Line2D([], [], marker="o", ls="", ms=3, color=INK, alpha=0.5, label="small: another recipe")
    least, most = axis.get_xlim()
    axis.plot([least, most], [least, most], color=PUBLISHED, lw=1, zorder=0)
    axis.annotate("as published", (most, most), (3, 0), textcoords="offset points", fontsize=8, color=PUBLISHED)
    axis.set(xlabel="published accuracy (%)", ylabel="accuracy here (%)", xlim=(least, most + (most - least) / 8),
             ylim=(max(least, table.low.min() - 2), max(most, table.high.max()) + 2))
    systems, _ = axis.get_legend_handles_labels()
    shown = [*systems, *[dot] * bool(len(behind)), *[hollow] * (not same.all())]
    figure.legend(handles=shown, loc="outside upper left", ncols=7, fontsize=8.5, title="system")
    short = table[table.high < table.published].sort_values(["published", "accuracy"])
    numbers = [str(place + 1) for place in range(len(short))]
    _listed(figure, [f"{number}  {row.name} ({row.classes}): {row.accuracy:.1f} for {row.published:.2f}"
                     for number, row in zip(numbers, short.itertuples(index=False), strict=True)])
    name_points(axis, short.published, short.accuracy, numbers, points=table[["published", "accuracy"]])
    return figure


@style()
def class_changes(tables: Mapping[str, pd.DataFrame], *, xlabel: str = "change of recall (points)") -> Figure:
    """What each class gains or loses, with intervals, a panel a comparison; hollow where the interval holds zero.

    `tables`: title -> columns class, n, change, low, high.
    """
    figure, axes = new(1, len(tables), height=3.3, sharey=True, sharex=True, squeeze=False)
    for axis, (title, table) in zip(axes[0], tables.items(), strict=True):
        axis.axvline(0, color=INK, lw=1)
        for row, (item, tone) in enumerate(zip(table.itertuples(), colours(table["class"]), strict=True)):
            sure = item.low > 0 or item.high < 0
            axis.hlines(row, item.low, item.high, color=tone, lw=2.4)
            axis.plot(item.change, row, "o", color=tone, mfc=tone if sure else "white", mew=1.8, ms=7)
        axis.set(title=title, xlabel=xlabel)
        names = [f"{name}\nn = {n:,}" for name, n in zip(table["class"], table.n, strict=True)]
        axis.set_yticks(range(len(table)), names, fontsize=8.5)
        axis.grid(axis="y", visible=False)
    axes[0, 0].invert_yaxis()
    return figure


@style()
def reliability(tables: Mapping[str, pd.DataFrame], errors: Mapping[str, float], *, columns: int = 3) -> Figure:
    """Accuracy against confidence, a panel a network, bars by bin, the shade says how many faces are in it.

    `tables`: name -> columns left, right, n, confidence, accuracy in 0..1; `errors`: name -> calibration error, 0..1.
    """
    columns = min(columns, len(tables))
    rows = -(-len(tables) // columns)
    figure, axes = new(rows, columns, width=max(2.2 * columns, 3.4), height=2.35 * rows + 0.3, sharex=True, sharey=True,
                       squeeze=False)
    for axis in axes.flat[len(tables):]:
        axis.set_visible(False)
    for axis, (name, table) in zip(axes.flat, tables.items(), strict=False):
        shade = mpl.colormaps["Blues"](0.25 + 0.65 * np.sqrt(table.n / table.n.max()))
        axis.bar(table.left, table.accuracy, (table.right - table.left) * 0.94, align="edge", color=shade)
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
    """Share of faces, in %, on which two networks predict the same; `shares` [k, k] in 0..1. The diagonal, a network
    with itself, is left blank. The more networks, the wider, up to what is still legible in a column of text."""
    figure, axis = new(width=min(1.6 + 0.72 * len(names), 10), height=1.1 + min(0.5 * len(names), 7.2))
    shares = np.where(np.eye(len(names), dtype=bool), np.nan, 100 * np.asarray(shares, float))
    axis.pcolormesh(shares, cmap="Blues", vmin=40, vmax=100, edgecolors="white", linewidth=1)
    for (row, column), value in np.ndenumerate(shares):
        if row != column:
            _in_cell(axis, column, row + 0.5, f"{value:.0f}", color="white" if value > 74 else INK, fontsize=9)
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
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], *, columns: int = 6
) -> Figure:
    """Faces with the label given, and below it the class predicted and its probability. `probabilities` [n, c]."""
    predicted = probabilities.argmax(1)
    titles = [f"label {class_names[given]}\n{class_names[said]} {100 * row.max():.0f} %"
              for given, said, row in zip(labels, predicted, probabilities, strict=True)]
    return face_sheet(images, titles, columns=columns)


@style()
def costs(table: pd.DataFrame, *, n: int) -> Figure:
    """Test accuracy against parameters, multiply-adds and training seconds, one panel each. Points bear their place in
    `table`, which the list below explains. The frontier is drawn, and what lies on it named beside its number.

    `table` columns: name, system, accuracy, low, high (in %), parameters, macs, train_seconds; what has no such cost is
    told below the panel.
    """
    panels = {"parameters": "parameters", "macs": "multiply-adds", "train_seconds": "training"}
    units = {"macs": " a face", "train_seconds": " (s, on the cores it had)"}
    table = table.assign(number=[str(place + 1) for place in range(len(table))])
    named, (figure, axes) = [], new(3, 1, height=14.5)
    for axis, (column, label) in zip(axes, panels.items(), strict=True):
        shown = table[table[column].fillna(0) > 0].sort_values(column)
        for system, part in shown.groupby("system"):
            spread = [part.accuracy - part.low, part.high - part.accuracy]
            axis.errorbar(part[column], part.accuracy, spread, fmt="o", ms=5, lw=0.8, color=_tone(system), label=system)
        best = shown[shown.accuracy == shown.accuracy.cummax()]
        frontier = best[column].repeat(2).iloc[1:], best.accuracy.repeat(2).iloc[:-1]
        axis.plot(*frontier, color=MUTED, lw=1, ls="--", zorder=0)
        without = ", ".join(table.number[~table.index.isin(shown.index)])
        axis.set(xscale="log", ylabel="accuracy (%)")
        axis.set_xlabel(label + units.get(column, "") + f"\nwithout {label}: {without}" * bool(without))
        axis.margins(x=0.18)
        axis.xaxis.set_major_formatter(mpl.ticker.EngFormatter(sep=""))
        axis.xaxis.set_minor_locator(mpl.ticker.LogLocator(subs=(2, 5)))
        axis.xaxis.set_minor_formatter(mpl.ticker.NullFormatter() if _decades(shown[column]) > 1 else
                                       mpl.ticker.EngFormatter(sep=""))
        names = shown.number.where(~shown.index.isin(best.index), shown.number + "  " + shown.name)
        spreads = [([at, at], [low, high]) for at, low, high in zip(shown[column], shown.low, shown.high, strict=True)]
        named.append((axis, shown[column], shown.accuracy, names, [frontier, *spreads]))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=6, fontsize=8.5, title=f"system, n = {n:,} faces")
    _listed(figure, [f"{row.number}  {row.name}  {row.accuracy:.1f} %" for row in table.itertuples(index=False)])
    for *points, lines in named:  # now that the layout is settled
        name_points(*points, lines=lines)
    return figure


@style()
def sooner(reached: pd.DataFrame, targets: pd.DataFrame) -> Figure:
    """Validation accuracy against training time: a line a network, its most accurate epoch so far, and a circle when it
    was done, views averaged; named, and in a colour and dash of their own, those that no other was ahead of at some
    time. Published accuracies as lines across, and system A's own way as a cross at its time.

    `reached`, `targets`: as `costs.milestones` and `costs.sooner` return them.
    """
    figure, axis = new(height=5)
    reached = reached[reached.seed == reached.groupby("name").seed.transform("min")].sort_values("seconds")
    curves, done = reached.dropna(subset=["epoch"]), reached[reached.epoch.isna()]
    least = max(curves.accuracy.max() - 25, 0) if len(curves) else 0
    done = done[done.accuracy > least]
    first = [part.name[part.accuracy == part.accuracy.cummax()] for part in (curves[curves.accuracy > least], done)]
    looks = itertools.product(("-", "--", ":"), (tone for tone in SERIES_COLOURS if tone != MUTED))
    looks = dict(zip(pd.concat(first).unique(), looks, strict=False))
    tones = {name: tone for name, (_, tone) in looks.items()}
    for name, part in curves.groupby("name", sort=False):
        dash, tone = looks.get(name, ("-", MUTED))
        axis.plot(part.seconds / 60, part.accuracy.cummax(), dash, drawstyle="steps-post", color=tone,
                  label=name if name in tones else None, lw=1.6 if name in tones else 0.6,
                  alpha=1 if name in tones else 0.5, zorder=1 + (name in tones))
    axis.scatter(done.seconds / 60, done.accuracy, s=18, c="white", edgecolors=[tones.get(k, MUTED) for k in done.name])
    for row in targets.itertuples():
        axis.axhline(row.published, color=PUBLISHED, lw=0.8, ls=":")
        axis.annotate(f"published, {row[1]}", (0.01, row.published), (0, 2), fontsize=7.5, color=PUBLISHED,
                      xycoords=("axes fraction", "data"), textcoords="offset points")
    own, = axis.plot(targets["own way"] / 60, targets.published, "x", color=PUBLISHED, ms=7, mew=2,
                     label="system A's own way, 100 epochs")
    circle = mpl.lines.Line2D([], [], marker="o", ls="", mfc="white", mec=MUTED, ms=4, label="done, views averaged")
    axis.legend(handles=[circle, own], loc="lower right", fontsize=7.5)
    figure.legend(handles=[line for line in axis.get_lines() if line.get_label() in tones], loc="outside lower left",
                  ncols=3, fontsize=7.5)
    axis.set(xscale="log", xlabel="training (minutes)", ylabel="validation accuracy (%)")
    axis.set_ylim(bottom=least)
    axis.margins(x=0.1)
    axis.xaxis.set_major_formatter(mpl.ticker.EngFormatter(sep=""))
    _name_circles(axis, done, targets, tones)
    return figure


def _name_circles(axis: Axes, done: pd.DataFrame, targets: pd.DataFrame, tones: Mapping[str, str]) -> None:
    """Write names beside the circles of `sooner`, clear of crosses and of lines that bear a name or a target."""
    named = done[done.name.isin(tones)]
    crosses = targets[["own way", "published"]].set_axis(["seconds", "accuracy"], axis=1)
    points = pd.concat([done[["seconds", "accuracy"]], crosses]).dropna() / [60, 1]
    lines = [line.get_data() for line in axis.get_lines() if line.get_label() in tones]
    lines += [(axis.get_xlim(), [value, value]) for value in targets.published]
    name_points(axis, named.seconds / 60, named.accuracy, named.name, [tones[name] for name in named.name], points,
                lines)
    for text in axis.texts:  # legible where a line runs through it
        text.set_bbox({"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.2})


def _listed(figure: Figure, lines: Sequence[str]) -> None:
    """Lines of text below the axes, in two columns."""
    blanks = [mpl.lines.Line2D([], [], ls="")] * len(lines)
    figure.legend(blanks, lines, loc="outside lower left", ncols=2, fontsize=7.5, handlelength=0, handletextpad=0)


def _tone(system: str) -> str:
    """A published system's colour; the last one is that of the study's own networks, and of any other."""
    return dict(zip("ABCDE", SERIES_COLOURS, strict=False)).get(system, SERIES_COLOURS[5])


def _broken(name: str, longest: int = 18) -> str:
    """A network's name on as many lines as the title of a narrow panel needs."""
    place = name.rfind("_", 0, longest) + 1
    return name if len(name) <= longest or not place else f"{name[:place]}\n{_broken(name[place:], longest)}"


def _decades(values: pd.Series) -> float:
    return float(np.log10(values.max() / values.min())) if len(values) else 0.0


def _in_cell(axis: Axes, column: int, height: float, text: str, **how) -> None:
    """Text in the middle of a matrix's column. It lies within the axes, so that the layout need not measure it."""
    axis.text(column + 0.5, height, text, ha="center", va="center", in_layout=False, **how)
