"""Figures: what is drawn, what is written, and that nobody's settings change."""

import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fercore import plots
from fercore.data.faces import CLASS_NAMES
from fercore.plots import result_figures, style

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (5, 48, 48), np.uint8)
MATRIX = RNG.integers(0, 60, (7, 7)) + 200 * np.eye(7, dtype=int)
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "accuracy": [0.3, 0.5, 0.6],
        "loss": [2, 1.5, 1],
        "val_accuracy": [0.3, 0.5, 0.45],
        "val_loss": [2, 1.6, 1.7],
    }
)
RANKED = pd.DataFrame(
    {
        "name": ["cnn", "pair"],
        "table": ["networks", "aggregates"],
        "accuracy": [62.0, 65.0],
        "low": [60.0, 63.0],
        "high": [64.0, 67.0],
        "published": [62.55, np.nan],
    }
)
GAINS = RANKED.assign(value=[1.0, -0.2], low=[0.5, -1.0], high=[1.5, 0.6], kind=RANKED.table)
COSTS = RANKED.assign(
    system=["A", "own"], parameters=[1e6, 2e6], macs=[5e7, np.nan], train_seconds=[60.0, 90.0]
)
DRAWN = {
    "class_counts": lambda: style.class_counts({"Training": [5, 4, 3, 9, 6, 2, 1]}, CLASS_NAMES),
    "face_sheet": lambda: style.face_sheet(PICTURES, list("abcde"), columns=3, heading="Faces"),
    "learning_curves": lambda: style.learning_curves({"cnn": HISTORY}),
    "confusion_matrix": lambda: result_figures.confusion_matrix(MATRIX, CLASS_NAMES, title="cnn"),
    "class_bars": lambda: style.class_bars(
        {"a": range(7), "b": range(7)}, CLASS_NAMES, ylabel="recall"
    ),
    "intervals": lambda: result_figures.intervals(
        {"a": GAINS, "b": GAINS}, xlabel="gain", changes=True, numbers=True
    ),
    "agreement": lambda: result_figures.agreement(np.eye(2), ["a", "b"]),
    "costs": lambda: result_figures.costs(COSTS, n=70),
    "predictions": lambda: result_figures.predictions(
        PICTURES, np.arange(5), np.eye(7)[1:6], CLASS_NAMES
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_is_drawn_without_changing_settings(name):
    before = dict(mpl.rcParams)
    figure = DRAWN[name]()
    figure.canvas.draw()
    assert figure.axes
    assert dict(mpl.rcParams) == before


def test_the_cost_figure_names_the_frontier_and_numbers_and_lists_the_rest():
    worse = COSTS.assign(
        name=["slow", "slower"], accuracy=60.0, low=59.0, high=61.0, parameters=9e6
    )
    table = pd.concat([COSTS, worse], ignore_index=True)
    figure = result_figures.costs(table, n=70)
    assert {text.get_text() for text in figure.axes[0].texts if text.get_text()} == {
        "1  cnn",
        "2  pair",
        "3",
        "4",
    }
    listed = [text.get_text() for text in figure.legends[1].get_texts()]
    assert listed == ["1  cnn  62.0 %", "2  pair  65.0 %", "3  slow  60.0 %", "4  slower  60.0 %"]
    labels = [axis.get_xlabel() for axis in figure.axes]
    assert labels == [
        "parameters",
        "multiply-adds a face\nwithout multiply-adds: 2, 4",
        "training (s, on the cores it had)",
    ]


def test_no_name_lies_across_the_frontier():
    rising = pd.concat([COSTS.head(1)] * 5, ignore_index=True).assign(
        name=[f"model_{k}_landmarks" for k in "abcde"],
        parameters=np.geomspace(1e6, 1e8, 5),
        accuracy=[60.0, 61, 64, 66, 67],
        low=lambda row: row.accuracy - 1,
        high=lambda row: row.accuracy + 1,
    )
    axis = result_figures.costs(rising, n=70).axes[0]
    (frontier,) = (line for line in axis.lines if line.get_linestyle() == "--")
    along = axis.transData.transform(frontier.get_xydata())
    steps = np.concatenate([np.linspace(*ends, 200) for ends in itertools.pairwise(along)])
    boxes = [text.get_window_extent() for text in axis.texts if text.get_text()]
    assert len(boxes) == 5 and not any(box.contains(*place) for box in boxes for place in steps)


def test_a_published_figure_does_not_cover_the_one_reached():
    table = GAINS.assign(published=GAINS.value)
    (axis,) = result_figures.intervals({"": table}, xlabel="gain").axes
    crosses = [line.get_ydata()[0] for line in axis.lines if line.get_marker() == "x"]
    assert np.allclose(crosses, [0.22, 1.22])


def test_what_holds_zero_is_hollow_and_what_lies_beyond_is_a_number_at_the_edge():
    table = GAINS.assign(published=[-40.0, 50.0])
    figure = result_figures.intervals({"one change": table}, xlabel="gain", changes=True)
    (axis,) = figure.axes
    marks = [line for line in axis.lines if line.get_marker() == "o"]
    assert [mark.get_markerfacecolor() == "white" for mark in marks] == [False, True]
    assert {text.get_text(): text.xy[0] for text in axis.texts} == {" -40.0 ": 0, " +50.0 ": 1}
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["networks", "aggregates", "hollow: no more than chance", "published"]


def test_values_of_one_name_stand_side_by_side_on_a_line_of_its_own():
    table = pd.concat([GAINS.assign(kind=kind) for kind in ("with", "without")])
    (axis,) = result_figures.intervals({"": table}, xlabel="gain").axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cnn", "pair"]
    marks = [line for line in axis.lines if line.get_marker() == "o"]
    heights = sorted(float(mark.get_ydata()[0]) for mark in marks)
    assert np.allclose(heights, [-0.175, 0.175, 0.825, 1.175])
    assert len({mark.get_color() for mark in marks}) == 2


def test_many_networks_agree_on_a_wider_sheet_without_the_diagonal():
    few, many = (
        result_figures.agreement(np.full((k, k), 0.8), [f"net{n}" for n in range(k)])
        for k in (2, 21)
    )
    assert few.get_figwidth() < style.WIDTH < many.get_figwidth() <= 10
    assert [text.get_text() for text in few.axes[0].texts] == ["80", "80"] and len(
        many.axes[0].texts
    ) == 21 * 20


def test_epochs_are_whole():
    for axis in style.learning_curves({"cnn": HISTORY}).axes:
        axis.figure.draw_without_rendering()
        assert all(float(tick).is_integer() for tick in axis.get_xticks())


def test_a_loss_that_was_not_kept_has_no_empty_axes():
    left, right = style.learning_curves({"cnn": HISTORY.assign(loss=np.nan, val_loss=np.nan)}).axes
    assert left.axison and not right.axison and right.texts[0].get_text() == "loss was not kept"


def test_every_class_has_a_colour_of_its_own():
    assert len({plots.CLASS_COLOURS[name] for name in CLASS_NAMES}) == 7
    assert style.colours(["Happy", "Bored"]) == [
        plots.CLASS_COLOURS["Happy"],
        plots.SERIES_COLOURS[1],
    ]


def test_plots_are_saved_as_svg_and_pictures_as_small_png(tmp_path):
    plot = style.save(DRAWN["class_counts"](), tmp_path, "counts")
    assert plot._repr_svg_().startswith("<svg") and "Training" in plot._repr_svg_()
    sheet = style.save(DRAWN["face_sheet"](), tmp_path, "sheet")
    assert sheet._repr_png_()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "counts.svg",
        "sheet.png",
        "thumbnail.webp",
    ]
    assert (tmp_path / "sheet.png").stat().st_size < 60_000


def test_the_first_figure_saved_is_the_thumbnail(tmp_path):
    style.save(DRAWN["class_counts"](), tmp_path, "counts")
    first = (tmp_path / "thumbnail.webp").read_bytes()
    style.save(DRAWN["agreement"](), tmp_path, "agreement")
    assert (tmp_path / "thumbnail.webp").read_bytes() == first
    with Image.open(tmp_path / "thumbnail.webp") as image:
        assert image.width == style.THUMBNAIL[0] and image.height <= style.THUMBNAIL[1]


def test_the_same_data_give_the_same_bytes(tmp_path):
    contents = []
    for _ in range(2):
        style.save(DRAWN["confusion_matrix"](), tmp_path, "matrix")
        contents.append((tmp_path / "matrix.svg").read_bytes())
    assert contents[0] == contents[1]


def test_names_of_points_cover_neither_each_other_nor_leave_the_axes():
    axis = style.new()[1]
    x, y = [3, 3.01, 3, 5], [3, 3, 3.01, 5]
    axis.plot(x, y, "o")
    axis.set(xlim=(1, 6), ylim=(1, 6))
    style.name_points(axis, x, y, ["sift_cnn", "dsift_cnn", "cnn+dsift_cnn", "vgg"])
    boxes = [text.get_window_extent() for text in axis.texts if text.get_text()]
    assert len(boxes) == 4 and all(
        axis.bbox.contains(*box.min) and axis.bbox.contains(*box.max) for box in boxes
    )
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    style.name_points(axis, [], [], [])
    assert len(boxes) == sum(bool(text.get_text()) for text in axis.texts)


def test_the_matrix_shows_counts_and_shares():
    figure = result_figures.confusion_matrix(np.array([[3, 1], [0, 4]]), ["a", "b"])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["75.0", "3", "25.0", "1", "0.0", "0", "100.0", "4"]
