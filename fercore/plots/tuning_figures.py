"""Figures of batch normalisation, learning rates and searches; in the style of `figures`."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fercore.plots.style import INK, MUTED, PUBLISHED, SERIES_COLOURS, WIDTH, new, style

WITH, WITHOUT = SERIES_COLOURS[0], SERIES_COLOURS[1]


@style()
def normalisation_gains(table: pd.DataFrame, *, n: int) -> Figure:
    """Test accuracy with batch normalisation and without, joined by a line, a row a pair of
    networks; crosses mark the published pair. `table` as of `batch_normalisation.gains`, in %."""
    figure, axis = new(height=1.0 + 0.4 * len(table))
    places = np.arange(len(table))
    axis.hlines(places, table["without"], table["with"], color=MUTED, lw=1.2)
    for which, label, tone in (
        ("with", "with batch normalisation", WITH),
        ("without", "without", WITHOUT),
    ):
        axis.hlines(
            places, table[f"{which}_low"], table[f"{which}_high"], color=tone, lw=3, alpha=0.5
        )
        axis.plot(table[which], places, "o", color=tone, ms=6, label=label)
        if table[f"published_{which}"].notna().any():
            axis.plot(
                table[f"published_{which}"],
                places + 0.22,
                "x",
                color=tone,
                ms=6,
                mew=1.6,
                label=f"published, {label.split()[0]}",
            )
    axis.set_yticks(
        places, [f"{row.model}, {row.features}" for row in table.itertuples()], fontsize=8.5
    )
    axis.set(xlabel=f"test accuracy (%), n = {n:,}", ylim=(len(table) - 0.4, -0.6))
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=2, fontsize=8.5)
    return figure


@style()
def ablation(table: pd.DataFrame) -> Figure:
    """What each variant changes, in points of validation accuracy, mean and deviation over seeds.
    `table` as of `ablation.changes`."""
    figure, axis = new(height=1.0 + 0.28 * len(table))
    places = np.arange(len(table))
    axis.axvline(0, color=MUTED, lw=1)
    axis.errorbar(
        table.change, places, xerr=table.deviation.fillna(0), fmt="o", ms=5, capsize=2, color=WITH
    )
    axis.set_yticks(places, table.variant, fontsize=8.5)
    axis.set(xlabel="change of validation accuracy (points)", ylim=(len(table) - 0.4, -0.6))
    axis.grid(axis="y", visible=False)
    return figure


@style()
def learning_rates(table: pd.DataFrame, *, chance: float, published: float | None = None) -> Figure:
    """Validation accuracy (%) after a short training against the learning rate, a panel a variant;
    hollow where the training ran out of numbers, in two sizes, as one lies on the other then.
    `table` as of `batch_normalisation.short_trainings`; `chance`: share of the most frequent class,
    0..1; `published`: a rate to mark."""
    variants = list(table.variant.unique())
    columns = min(3, len(variants))
    rows = -(-len(variants) // columns)
    figure, axes = new(
        rows,
        columns,
        width=WIDTH if columns > 1 else 4,
        height=2.3 * rows + 0.4,
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axis in axes.flat[len(variants) :]:
        axis.set_visible(False)
    for axis, variant in zip(axes.flat, variants, strict=False):
        axis.axhline(100 * chance, color=MUTED, lw=1, ls="--", label="most frequent class")
        if published is not None:
            axis.axvline(published, color=PUBLISHED, lw=1, ls=":", label="published rate")
        for normalised, tone, size in ((True, WITH, 7.5), (False, WITHOUT, 4)):
            part = table[(table.variant == variant) & (table.normalised == normalised)].sort_values(
                "learning_rate"
            )
            label = "with batch normalisation" if normalised else "without"
            axis.plot(part.learning_rate, 100 * part.accuracy, color=tone, lw=1.6, label=label)
            for lost, face in ((False, tone), (True, "white")):
                some = part[part.loss.isna() == lost]
                axis.plot(
                    some.learning_rate, 100 * some.accuracy, "o", color=tone, mfc=face, ms=size
                )
        axis.set(xscale="log", title=variant)
        axis.tick_params(labelbottom=True)
    figure.supxlabel("learning rate", fontsize=9)
    figure.supylabel("validation accuracy (%)", fontsize=9)
    hollow = mpl.lines.Line2D(
        [], [], marker="o", ls="", mfc="white", mec=INK, label="hollow: ran out of numbers"
    )
    handles = [*axes[0, 0].get_legend_handles_labels()[0], *[hollow] * int(table.loss.isna().any())]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, fontsize=8.5)
    return figure


@style()
def search_history(table: pd.DataFrame) -> Figure:
    """Validation accuracy (%) of each trial and the best so far; hollow: given up early. `table` as
    of `search.table`."""
    figure, axis = new(height=3.2)
    full, given_up = table[table.state == "complete"], table[table.state == "pruned"]
    axis.plot(
        given_up.number, 100 * given_up.value, "o", color=MUTED, mfc="white", label="given up early"
    )
    axis.plot(
        full.number, 100 * full.value, "o", color=SERIES_COLOURS[0], label="trained to the end"
    )
    best = table.value.where(table.state == "complete").cummax().ffill()
    axis.step(table.number, 100 * best, where="post", color=SERIES_COLOURS[1], label="best so far")
    axis.set(xlabel=f"trial, n = {len(table):,}", ylabel="validation accuracy (%)")
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    figure.legend(loc="outside upper left", ncols=3, fontsize=8.5)
    return figure


@style()
def importances(shares: pd.Series) -> Figure:
    """Share of the variance of accuracy by hyper-parameter, in 0..1, the highest on top."""
    figure, axis = new(height=0.9 + 0.35 * len(shares))
    axis.barh(shares.index, 100 * shares, color=SERIES_COLOURS[0])
    for row, share in enumerate(shares):
        axis.annotate(
            f"{100 * share:.0f}",
            (100 * share, row),
            (3, 0),
            textcoords="offset points",
            va="center",
        )
    axis.set(xlabel="explains % of the variance of validation accuracy", xlim=(0, 108))
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    return figure


@style()
def parallel_coordinates(
    table: pd.DataFrame, ranges: Mapping[str, tuple[float, float, bool]]
) -> Figure:
    """A line a trial through its hyper-parameters, the darker the more accurate; the best of those
    trained to their end in orange.

    `table` as of `search.table`; `ranges`: name -> low, high, whether on a logarithmic axis.
    """
    figure, axis = new(height=3.6)
    table = table.dropna(subset=["value", *ranges]).sort_values("value", kind="stable")
    values = table.value.to_numpy()
    shade = (
        mpl.colormaps["Blues"](
            0.15 + 0.8 * (values - values.min(initial=1)) / max(np.ptp(values), 1e-9)
        )
        if len(values)
        else []
    )
    heights = np.array([_height(table[name], *limits) for name, limits in ranges.items()])
    for k in range(len(table)):
        axis.plot(heights[:, k], color=shade[k], lw=1.1)
    whole = (table.state == "complete").to_numpy()
    if whole.any():
        best = np.argmax(np.where(whole, values, -1))
        axis.plot(heights[:, best], color=SERIES_COLOURS[1], lw=2.4)
    for place, (low, high, _) in enumerate(ranges.values()):
        axis.axvline(place, color=INK, lw=0.8)
        for height, value in ((0, low), (1, high)):
            axis.annotate(
                f"{value:g}",
                (place, height),
                (0, 4 if height else -4),
                textcoords="offset points",
                ha="center",
                va="bottom" if height else "top",
                fontsize=8.5,
            )
    names = [f"{name}\n(logarithmic)" if log else name for name, (_, _, log) in ranges.items()]
    axis.set_xticks(range(len(ranges)), names)
    axis.set(ylim=(-0.12, 1.12), yticks=[], xlim=(-0.3, len(ranges) - 0.7))
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    if len(values):
        title = f"{len(values):,} trials, validation accuracy {100 * values.min():.1f} to {100 * values.max():.1f} %"
        axis.set_title(title, fontsize=10)
    return figure


def _height(values: pd.Series, low: float, high: float, log: bool) -> np.ndarray:
    """Where values stand between `low` and `high`, in 0..1."""
    if log:
        values, low, high = np.log(values), np.log(low), np.log(high)
    return ((values - low) / (high - low)).to_numpy()
