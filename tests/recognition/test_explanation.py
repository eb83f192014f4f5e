"""What is drawn to explain an answer."""

import numpy as np
import pytest

from fercore.recognition import explanation

FACE = np.full((48, 48), 90, np.uint8)
FACE[30:40, 10:20] = 255  # the only place that `told` below looks at


def told(crops):
    """Two classes; the first is as likely as a corner is bright."""
    bright = 0.05 + 0.9 * crops[:, 30:40, 10:20].mean(axis=(1, 2)) / 255
    return np.stack([bright, 1 - bright], axis=1).astype(np.float32)


def test_occlusion_is_where_the_network_looks():
    answer, probability, fall = explanation.occlusion(told, FACE)
    assert (answer, probability) == (0, pytest.approx(0.95))
    row, column = np.unravel_index(fall.argmax(), fall.shape)
    assert 28 <= row < 42 and 8 <= column < 22
    assert fall[:15].max() == fall[:, 32:].max() == 0
    assert FACE[30, 10] == 255, "the face given was covered itself"


def test_occlusion_counts_log_odds_which_end_where_digits_do():
    def sure(crops):
        return np.float32([[1, 0] if crop[35, 15] == 255 else [0.5, 0.5] for crop in crops])

    fall = explanation.occlusion(sure, FACE)[2]
    assert fall[35, 15] == pytest.approx(np.log(999)) and fall[:15].max() == 0


def test_figures_hold_what_they_say():
    figure = explanation.occlusion_sheet(
        [FACE], [explanation.occlusion(told, FACE)], ("Happy", "Sad")
    )
    assert figure.axes[0].get_title(loc="left") == "Happy\n95%"
    rgb = np.zeros((60, 80, 3), np.uint8)
    figure = explanation.steps(rgb, np.array([10, 10, 20, 20]), FACE, FACE[4:-4, 4:-4], margin=0.1)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["picture", "box 20×20\nmargin 10%", "gray\n48×48", "normalised\n40×40"]
    assert len(figure.axes[1].patches) == 2
    assert len(explanation.pictures([rgb] * 4, list("abcd"), columns=2).axes) == 4


def test_variants_change_the_picture_and_leave_it_as_it_was():
    rgb = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    before = rgb.copy()
    made = explanation.variants(rgb)
    assert (rgb == before).all()
    assert made["a fifth of the size"].shape == (10, 12, 3) and made["half as wide"].shape == (
        50,
        30,
        3,
    )
    assert (made["mirrored"][:, ::-1] == rgb).all() and (
        made["upside down"][::-1, ::-1] == rgb
    ).all()
    assert all(image.shape != rgb.shape or (image != rgb).any() for image in made.values())
