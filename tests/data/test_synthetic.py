"""The embedded faces: as many as asked for, the same for the same seed, different people,
expressions that differ."""

from types import SimpleNamespace

import numpy as np
import pytest

from fercore.data import splits, synthetic
from fercore.data.faces import CLASS_NAMES, USAGES


@pytest.fixture(scope="module")
def faces():
    return synthetic.faces(train=70, validation=21, test=21, seed=1)


def test_counts_and_columns(faces):
    assert faces.images.shape == (112, 48, 48) and faces.images.dtype == np.uint8
    assert [np.count_nonzero(faces.usage == usage) for usage in USAGES] == [70, 21, 21]
    assert np.bincount(faces.labels, minlength=7).min() >= 13
    assert faces.class_names == CLASS_NAMES and faces.origin == "embedded synthetic faces"
    assert not faces.is_fer2013


def test_the_same_for_the_same_seed(faces):
    again = synthetic.faces(train=70, validation=21, test=21, seed=1)
    assert (again.images == faces.images).all() and (again.labels == faces.labels).all()
    assert again.fingerprint == faces.fingerprint
    assert synthetic.faces(train=14, validation=7, test=7, seed=2).fingerprint != faces.fingerprint


def test_some_faces_are_duplicates(monkeypatch):
    monkeypatch.setattr(synthetic, "DUPLICATES", 0.3)
    drawn = synthetic.faces(train=20, validation=10, test=10)
    assert 15 < len(np.unique(splits.duplicate_groups(drawn))) < 37


def test_faces_have_contrast(faces):
    assert np.median(faces.images.std(axis=(1, 2))) > 25


def drawn(moves, seed=0, n=8):
    """The mean of some drawn people who make the same face, float [48, 48]."""
    move = SimpleNamespace(**dict.fromkeys(synthetic.MOVES, 0.0) | moves)
    rng = np.random.default_rng(seed)
    return np.mean([synthetic.draw(synthetic.person(rng), move, rng) for _ in range(n)], axis=0)


def test_expressions_differ_in_brows_and_mouth():
    """Mean faces: an open mouth is darkest for Surprise, and Angry brows are darkest between the
    eyes."""
    shown = zip(CLASS_NAMES, synthetic.VARIANTS[:, 0], strict=True)
    mean = {name: drawn(dict(zip(synthetic.MOVES, values, strict=True))) for name, values in shown}
    mouth = {name: image[36:42, 21:27].mean() for name, image in mean.items()}
    between = {
        name: image[13:18, 20:28].mean() - image[6:9, 20:28].mean() for name, image in mean.items()
    }
    assert min(mouth, key=mouth.get) == "Surprise"
    assert min(between, key=between.get) == "Angry"


@pytest.mark.parametrize(
    ("move", "rows"),
    [
        ({"opening": 1.0}, slice(32, 46)),
        ({"corners": 1.0}, slice(32, 46)),
        ({"lids": 0.9}, slice(14, 22)),
        ({"inner": 1.0, "outer": 1.0}, slice(6, 16)),
        ({"nose": 1.0}, slice(18, 40)),
    ],
)
def test_a_move_changes_its_part_of_the_face(move, rows):
    changed = np.abs(drawn(move) - drawn({}))[:, 8:40].mean(1)
    assert changed[rows].mean() > 3 * np.delete(changed, np.arange(48)[rows]).mean()
