"""Data in, `Figure` out. One palette, one class order, one style, readable by the colour-blind, on
a phone, on paper.

A figure function never touches matplotlib's global settings: it draws inside `style()`. The figures
returned are closed for pyplot, so that a notebook shows each one once, where a cell ends with it.
"""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import PIL.Image
import textalloc
from cycler import cycler
from IPython.display import SVG, Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fercore import artifacts
from fercore.plots import SERIES_COLOURS, colours

INK, MUTED, PUBLISHED = "#222222", "#777777", "#CC3311"
STYLE = {
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=SERIES_COLOURS),
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "fercore",
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.05,
}
Look = dict[str, Any]  # keywords of matplotlib
WIDTH = 6.6  # inches: a column of text in a report
THUMBNAIL = (320, 240)  # pixels: as wide, the top of a figure that is higher
_with_thumbnail: set[Path] = set()


def style() -> Any:
    """The settings that every figure is drawn in: `with style.style(): ...`."""
    return mpl.rc_context(cast(Any, STYLE))


def new(
    rows: int = 1, columns: int = 1, *, width: float = WIDTH, height: float = 3.6, **options
) -> tuple[Figure, Any]:
    """A figure, sizes in inches, and its axes in the study's style; `options`: of `subplots`."""
    with style():
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), **options)
    plt.close(figure)
    return figure, axes


def name_points(
    axis: Axes,
    x: ArrayLike,
    y: ArrayLike,
    names: Iterable[str],
    points: pd.DataFrame | None = None,
    lines: Sequence[tuple] = (),
) -> None:
    """Write its name beside each point, where it covers no other name or point if there is room; a
    line leads to a name that had to go far. Scales and limits of the `axis` must be set before.
    `points`: where no name may lie, x and y, if there are more points than names; `lines`: what
    none may lie across, x and y of each."""
    names, at = list(names), np.column_stack([x, y]).astype(float)
    if not names:
        return
    cast(Figure, axis.figure).draw_without_rendering()  # the layout decides how much room there is
    taken = at if points is None else points.to_numpy(float)
    x_lines, y_lines = ([np.asarray(line[k]) for line in lines] for k in range(2))
    others: Look = {"x_scatter": taken[:, 0], "y_scatter": taken[:, 1]}
    others |= {"x_lines": x_lines, "y_lines": y_lines, "nbr_candidates": 500}
    room: Look = {"margin": 0.008, "min_distance": 0.008, "max_distance": 0.3}
    drawing: Look = {"textsize": 7.5, "textcolor": INK, "linecolor": MUTED, "linewidth": 0.5}
    textalloc.allocate(axis, at[:, 0], at[:, 1], names, **others, **room, **drawing)


def save(figure: Figure, folder: Path, name: str) -> SVG | Image:
    """Write `figure` to `folder` as name.svg, or name.png where it holds pictures; return that, for
    a notebook to show. A notebook's first figure is also written small, as thumbnail.webp."""
    folder = Path(folder)
    pictures = any(axes.images for axes in figure.axes)
    data = _packed(_drawn(figure), "PNG", optimize=True) if pictures else _svg(figure)
    artifacts.write_atomically(folder / f"{name}{'.png' if pictures else '.svg'}", data)
    if folder not in _with_thumbnail:
        small = _drawn(figure)
        small.thumbnail((THUMBNAIL[0], small.height))
        small = small.crop((0, 0, small.width, min(small.height, THUMBNAIL[1])))
        packed = _packed(small, "WEBP", quality=40, method=6)
        artifacts.write_atomically(folder / "thumbnail.webp", packed)
        _with_thumbnail.add(folder)
    return Image(data, format="png") if pictures else SVG(data)


@style()
def class_counts(counts: Mapping[str, Sequence[int]], class_names: Sequence[str]) -> Figure:
    """Faces of each class, a panel a part. `counts`: part name -> number of faces by class."""
    figure, axes = new(1, len(counts), height=2.8, sharey=True, squeeze=False)
    for axis, (part, values) in zip(axes[0], counts.items(), strict=True):
        total, most = int(np.sum(values)), max(*values, 1)
        bars = axis.barh(range(len(values)), values, color=colours(class_names))
        axis.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=8.5)
        axis.set(title=f"{part}\nn = {total:,}", xlabel="faces", xlim=(0, 1.28 * most))
        axis.set_yticks(range(len(values)), class_names)
        axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(3, integer=True))
        axis.grid(axis="y", visible=False)
    axes[0, 0].invert_yaxis()
    return figure


@style()
def face_sheet(
    images: np.ndarray, titles: Sequence[str] | None = None, *, columns: int = 8, heading: str = ""
) -> Figure:
    """Faces in rows. `images` [n, h, w], uint8 or 0..255; `titles` one a face."""
    rows = max(1, -(-len(images) // columns))
    titles = [""] * len(images) if titles is None else list(map(str, titles))
    lines = max((title.count("\n") + 1 for title in titles if title), default=0)
    height = rows * (WIDTH / columns + 0.16 * lines) + (0.35 if heading else 0)
    figure, axes = new(rows, columns, height=height, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.grid(visible=False)
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(title, fontsize=7.5, fontweight="normal", loc="center", pad=3)
    figure.suptitle(heading, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


@style()
def learning_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy (%) and loss by epoch: training dashed, validation solid, best epoch marked.
    `histories`: name -> columns epoch, accuracy (in 0..1), loss, val_accuracy, val_loss."""
    figure, (left, right) = new(1, 2, height=3.4)
    for (name, history), tone in zip(histories.items(), SERIES_COLOURS * 3, strict=False):
        how = {"color": tone, "marker": "o" if len(history) < 3 else None}
        for axis, column, unit in ((left, "accuracy", 100), (right, "loss", 1)):
            axis.plot(history.epoch, unit * history[column], "--", alpha=0.7, lw=1.2, **how)
            axis.plot(history.epoch, unit * history[f"val_{column}"], lw=1.8, label=name, **how)
        best = artifacts.best_epoch(history)
        left.plot(best.epoch, 100 * best.val_accuracy, "o", color=tone, mec="white", ms=7)
    left.set(title="Accuracy", xlabel="epoch", ylabel="accuracy (%)")
    right.set(title="Loss", xlabel="epoch", ylabel="cross-entropy")
    if all(history[["loss", "val_loss"]].isna().all(axis=None) for history in histories.values()):
        right.clear()
        right.set_axis_off()
        right.text(0.5, 0.5, "loss was not kept", ha="center", color=MUTED)
    for axis in (left, right):
        axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    for kind, look in (("validation", "-"), ("training", "--"), ("best epoch", "o")):
        left.plot([], [], look, color=MUTED, label=kind)
    handles, _ = left.get_legend_handles_labels()
    figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=8.5)
    return figure


@style()
def class_bars(
    values: Mapping[str, Sequence[float]],
    class_names: Sequence[str],
    *,
    ylabel: str,
    n: Sequence[int] | None = None,
) -> Figure:
    """Bars by class, a shade a series. `values`: series -> value by class; `n`: faces by class."""
    figure, axis = new(height=3.4)
    names = class_names if n is None else map("{}\nn = {:,}".format, class_names, n)
    bars = pd.DataFrame(dict(values), index=list(names))
    bars.plot.bar(ax=axis, width=0.8, rot=0, fontsize=8.5, ylabel=ylabel, legend=False)
    axis.grid(axis="x", visible=False)
    figure.legend(loc="outside upper left", ncols=4, fontsize=8.5)
    return figure


def _svg(figure: Figure) -> bytes:
    """SVG without what it repeats: the fonts stand once, at its root, lines are not indented,
    places have two decimals. The same picture has the same bytes."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = re.sub(r"\n\s+", "\n", buffer.getvalue())
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
    places = r'\b(?:d|x|y|width|height|transform)="[^"]*"'
    text = re.sub(places, lambda place: re.sub(r"(\.\d\d)\d+", r"\1", place[0]), text)
    families = re.findall(r"font-family: ([^;\"]+)", text)
    if families:
        text = re.sub(r"font-family: [^;\"]+(; )?", "", text)
        text = text.replace("<svg ", f'<svg font-family="{families[0]}" ', 1)
    return text.encode()


def _packed(image: PIL.Image.Image, form: str, **how) -> bytes:
    packed = io.BytesIO()
    image.save(packed, form, **how)
    return packed.getvalue()


def _drawn(figure: Figure) -> PIL.Image.Image:
    drawn = io.BytesIO()
    with style():
        figure.savefig(drawn, format="png", dpi="figure")
    return PIL.Image.open(drawn).convert("RGB")
