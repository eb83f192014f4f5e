"""Marked pictures: what is drawn and where, on pictures of every size and shade."""

import subprocess
import sys

import numpy as np
import pytest

from fercore.data.faces import CLASS_NAMES
from fercore.plots import CLASS_COLOURS
from fercore.recognition import annotation
from fercore.recognition.recogniser import Face

RGB = {
    name: tuple(int(text[k : k + 2], 16) for k in (1, 3, 5)) for name, text in CLASS_COLOURS.items()
}


def face(box, expression="Happy", probability=0.8):
    """A face with a chosen expression; the rest of the probability is shared by the others."""
    probabilities = np.full(7, (1 - probability) / 6, np.float32)
    probabilities[CLASS_NAMES.index(expression)] = probability
    return Face(box, 1.0, probabilities, CLASS_NAMES)


def plain(height, width, shade=128):
    return np.full((height, width, 3), shade, np.uint8)


def of_colour(picture, expression):
    """Which pixels carry the colour of an expression."""
    return (picture == RGB[expression]).all(axis=2)


def changed(before, after):
    return (before != after).any(axis=2)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_the_box_lies_where_the_face_is_and_stands_out(shade):
    before = plain(480, 640, shade)
    after = annotation.annotate(before, [face((200, 150, 100, 120), "Sad")], bars=False)
    assert (before == shade).all(), "the picture given was drawn into"
    box = of_colour(after, "Sad")
    assert box[150:270, 200].all() and box[150:270, 299].all() and box[269, 200:300].all()
    assert (after[160:260, 210:290] == shade).all(), "the face itself is covered"
    beside = after[155:265, 190:200].astype(int)
    assert abs(beside - np.array(RGB["Sad"])).sum(axis=2).max() > 150, (
        "no contrast at the edge of the box"
    )


def test_bars_are_as_long_as_probabilities():
    lengths = {}
    for probability in (0.25, 0.5, 1.0):
        marked = annotation.annotate(
            plain(480, 640), [face((100, 100, 100, 100), "Surprise", probability)]
        )
        bar = of_colour(marked, "Surprise")[:, 210:]
        lengths[probability] = bar.sum(axis=1).max()
    assert lengths[1.0] > 40
    assert lengths[0.5] == pytest.approx(lengths[1.0] / 2, abs=1)
    assert lengths[0.25] == pytest.approx(lengths[1.0] / 4, abs=1)


@pytest.mark.parametrize(
    "box", [(0, 0, 90, 90), (550, 0, 90, 90), (0, 390, 90, 90), (550, 390, 90, 90)]
)
def test_label_and_bars_stay_inside_the_picture_and_off_the_face(box):
    before = plain(480, 640)
    marked = annotation.annotate(before, [face(box)])
    x, y, width, height = box
    assert not changed(before, marked)[y + 5 : y + height - 5, x + 5 : x + width - 5].any()
    assert label_size(box) == pytest.approx(label_size((275, 195, 90, 90)), rel=0.1), (
        "the label is cut off"
    )


def label_size(box):
    """Pixels that a label covers around a box."""
    before = plain(480, 640)
    difference = changed(before, annotation.annotate(before, [face(box)], bars=False))
    x, y, width, height = box
    difference[max(0, y - 4) : y + height + 4, max(0, x - 4) : x + width + 4] = False
    return difference.sum()


def test_a_face_that_fills_the_picture_is_labelled_within():
    before = plain(300, 300)
    marked = annotation.annotate(before, [face((0, 0, 300, 300))])
    assert of_colour(marked, "Happy")[:20].sum() > 500


def test_no_bars_over_other_faces():
    before = plain(480, 640)
    crowd = [
        face((20 + 70 * column, 40 + 85 * row, 60, 60)) for row in range(5) for column in range(8)
    ]
    difference = changed(before, annotation.annotate(before, crowd))
    for x, y, width, height in (one.box for one in crowd):
        assert difference[y + 5 : y + height - 5, x + 5 : x + width - 5].mean() < 0.15


def test_sizes_follow_the_picture():
    small, large = (
        changed(
            plain(*size),
            annotation.annotate(
                plain(*size), [face((size[1] // 3, size[0] // 3, size[0] // 4, size[0] // 4))]
            ),
        ).mean()
        for size in ((480, 640), (1920, 2560))
    )
    assert small == pytest.approx(large, rel=0.15)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (40, 40), (60, 200)])
def test_small_pictures_are_no_trouble(size):
    marked = annotation.annotate(
        plain(*size), [face((0, 0, size[1], size[0])), face((-5, -5, 30, 30), "Fear")]
    )
    assert marked.shape == (*size, 3) and changed(plain(*size), marked).any()


@pytest.mark.parametrize("seed", range(5))
def test_labels_and_bars_never_lie_over_each_other(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    kept, paste = [], annotation._paste

    def noted(image, plate, places, faces, written, **options):
        kept.append(written)
        return paste(image, plate, places, faces, written, **options)

    monkeypatch.setattr(annotation, "_paste", noted)
    crowd = [face((*rng.integers(0, 400, 2), 70, 70)) for _ in range(25)]
    annotation.annotate(plain(480, 640), crowd)
    areas = kept[-1]
    assert len(areas) > 15
    for k, one in enumerate(areas):
        x, y, width, height = one
        assert x >= 0 and y >= 0 and x + width <= 640 and y + height <= 480
        assert not annotation.shared(one[None], areas[:k]).any()


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31m\x00red", "long " * 5000, "", "\u202ecba"])
def test_hostile_names_of_classes_are_drawn(name):
    own = Face((100, 100, 100, 100), 1.0, np.array([0.9, 0.1], np.float32), (name, "other"))
    marked = annotation.annotate(plain(300, 600), [own])
    assert marked.shape == (300, 600, 3) and changed(plain(300, 600), marked).any()


def test_no_faces_leave_the_picture_as_it_is():
    assert (annotation.annotate(plain(20, 30), []) == 128).all()


def test_classes_of_ones_own_and_letters_beyond_ascii():
    own = Face((100, 100, 100, 100), 1.0, np.array([0.1, 0.9], np.float32), ("Müde", "Überrascht"))
    other = Face(
        (100, 100, 100, 100), 1.0, np.array([0.1, 0.9], np.float32), ("Müde", "Uberrascht")
    )
    before = plain(300, 400)
    marked = annotation.annotate(before, [own])
    assert changed(before, marked).any()
    assert changed(marked, annotation.annotate(before, [other])).any(), "the dots of Ü are missing"


def test_matplotlib_is_not_imported():
    code = (
        "import sys, fercore.recognition.annotation; "
        "sys.exit(bool({'matplotlib', 'pandas', 'keras', 'av'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
