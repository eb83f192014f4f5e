"""The embedded faces: as many as asked for, the same for the same seed, different people,
expressions that differ."""

import numpy as np
import pytest

from fercore.data import drawing, splits, synthetic
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


def test_some_faces_are_copies(monkeypatch):
    monkeypatch.setattr(synthetic, "COPIES", 0.3)
    group = splits.duplicate_groups(synthetic.faces(train=20, validation=10, test=10))
    assert 3 < splits.redundant(group).sum() < 25


def test_faces_have_contrast(faces):
    assert np.median(faces.images.std(axis=(1, 2))) > 25


def test_expressions_differ_in_brows_and_mouth():
    """Mean faces: an open mouth is darkest for Surprise, and Angry brows are darkest between the
    eyes."""
    rng = np.random.default_rng(0)
    mean = {}
    for name in CLASS_NAMES:
        drawn = [
            drawing.draw(synthetic.identity(rng), synthetic.expression(name, rng), rng)
            for _ in range(25)
        ]
        mean[name] = np.mean(drawn, axis=0)
    mouth = {
        name: image[36:42, 21:27].mean() - image[28:32, 12:36].mean()
        for name, image in mean.items()
    }
    between = {
        name: image[13:18, 20:28].mean() - image[6:9, 20:28].mean() for name, image in mean.items()
    }
    assert min(mouth, key=mouth.get) == "Surprise"
    assert min(between, key=between.get) == "Angry"


def test_a_part_at_rest_and_one_that_moved_differ():
    rng = [np.random.default_rng(5) for _ in range(2)]
    person = synthetic.identity(np.random.default_rng(1))
    rest = drawing.draw(person, drawing.Expression(), rng[0]).astype(int)
    moved = drawing.draw(person, drawing.Expression(opening=1.0), rng[1]).astype(int)
    difference = np.abs(rest - moved)
    assert difference[30:].mean() > 5 * difference[:24].mean()
