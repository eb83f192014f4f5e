"""Figures of a search: every trial drawn, the best of those trained to their end stands out."""

import matplotlib as mpl
import numpy as np
import pandas as pd

from fercore.plots import tuning_figures

TRIALS = pd.DataFrame(
    {
        "number": [0, 1, 2, 3],
        "state": ["complete", "pruned", "complete", "fail"],
        "value": [0.5, 0.7, 0.6, np.nan],
        "learning_rate": [0.001, 0.01, 0.1, 0.01],
        "dropout": [0.0, 0.1, 0.2, 0.1],
    }
)


def test_the_best_so_far_counts_trials_trained_to_their_end():
    figure = tuning_figures.search_history(TRIALS)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines["best so far"].get_ydata()) == [50, 50, 60, 60]
    assert list(lines["given up early"].get_xdata()) == [1]


def test_parallel_coordinates_run_from_the_low_to_the_high_end_of_each_range():
    ranges = {"learning_rate": (0.001, 0.1, True), "dropout": (0.0, 0.2, False)}
    *others, best = [
        line
        for line in tuning_figures.parallel_coordinates(TRIALS, ranges).axes[0].lines
        if len(line.get_ydata()) == 2 and line.get_linewidth() > 1
    ]
    assert len(others) == 3 and np.allclose(best.get_ydata(), [1, 1])
    assert np.allclose(others[0].get_ydata(), [0, 0]) and np.allclose(
        others[2].get_ydata(), [0.5, 0.5]
    )


def test_trainings_that_ran_out_of_numbers_are_hollow_explained_and_not_hidden():
    table = pd.DataFrame(
        {
            "variant": "published",
            "normalised": [True, True, False, False],
            "learning_rate": [0.01, 0.1] * 2,
            "accuracy": [0.4, 0.15] * 2,
            "loss": [1.5, np.nan] * 2,
        }
    )
    figure = tuning_figures.learning_rates(table, chance=0.28)
    last = figure.axes[0].lines
    hollow = [
        line for line in last if line.get_marker() == "o" and line.get_markerfacecolor() == "white"
    ]
    assert [line.get_xdata().tolist() for line in hollow] == [[0.1], [0.1]]
    below, above = hollow  # drawn in this order
    assert below.get_markersize() > above.get_markersize() + 2
    (legend,) = figure.legends
    assert legend.get_texts()[-1].get_text() == "hollow: ran out of numbers"
    assert mpl.colors.same_color(legend.get_lines()[-1].get_markerfacecolor(), "white")


def test_importances_are_drawn_from_the_highest_down():
    figure = tuning_figures.importances(pd.Series({"learning_rate": 0.7, "dropout": 0.3}))
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.texts] == ["70", "30"] and axis.yaxis_inverted()
