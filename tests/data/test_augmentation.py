"""Normalisation and augmentation."""

import numpy as np
import pytest

from fercore.data import augmentation
from fercore.data.augmentation import Augmentation


def images(n=6, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 48, 48), dtype=np.uint8)


def test_standardise_takes_light_and_contrast_away():
    faces = images().astype(int)
    darker = (faces // 2 + 20).astype(np.uint8)
    seen = augmentation.normalise(faces.astype(np.uint8))
    assert seen.shape == (6, 48, 48, 1) and seen.dtype == np.float32
    assert np.allclose(seen.mean(axis=(1, 2)), 0, atol=1e-4) and np.allclose(
        seen.std(axis=(1, 2)), 1, atol=1e-3
    )
    assert np.abs(seen - augmentation.normalise(darker)).max() < 0.05


def test_a_constant_face_becomes_zero_not_nan():
    assert (augmentation.normalise(np.full((1, 48, 48), 77, np.uint8)) == 0).all()


def test_unit_and_raw_ranges():
    faces = np.array([[[0, 255]]], np.uint8)
    assert augmentation.normalise(faces, "unit").ravel().tolist() == [0, 1]
    assert augmentation.normalise(faces, "raw").ravel().tolist() == [0, 255]
    with pytest.raises(ValueError, match="'gamma' is not one of standardise, unit, raw"):
        augmentation.normalise(faces, "gamma")


def test_no_augmentation_changes_nothing():
    faces = images()
    augmented, mirrored = augmentation.augment(faces, np.random.default_rng(0), Augmentation())
    assert (augmented == faces).all() and not mirrored.any()


def test_mirrored_says_which_faces_were_flipped():
    faces = images(40)
    augmented, mirrored = augmentation.augment(
        faces, np.random.default_rng(0), Augmentation(flip=True)
    )
    assert 5 < mirrored.sum() < 35
    assert (augmented[mirrored] == faces[mirrored][:, :, ::-1]).all() and (
        augmented[~mirrored] == faces[~mirrored]
    ).all()


def test_shift_stays_within_its_bound():
    face = np.zeros((1, 48, 48), np.uint8)
    face[0, 22:26, 22:26] = 255
    for seed in range(20):
        augmented, _ = augmentation.augment(
            face, np.random.default_rng(seed), Augmentation(shift=0.1)
        )
        rows, columns = np.nonzero(augmented[0] > 20)
        assert abs(rows.mean() - 23.5) < 5.3 and abs(columns.mean() - 23.5) < 5.3


def test_augmentation_follows_its_generator():
    how = Augmentation(rotation=10, shift=0.1, zoom=0.1, flip=True, erasing=0.5)
    one, two, other = (
        augmentation.augment(images(), np.random.default_rng(k), how)[0] for k in (1, 1, 2)
    )
    assert (one == two).all() and (one != other).any()


def test_erasing_fills_a_rectangle_with_one_value():
    faces = images(1)
    augmented, _ = augmentation.augment(faces, np.random.default_rng(3), Augmentation(erasing=1.0))
    changed = augmented != faces
    assert 0.01 < changed.mean() < 0.25 and len(np.unique(augmented[changed])) == 1


def test_degraded_faces_have_noise_or_a_grid_of_blocks_and_the_others_are_as_they_were():
    faces = np.tile(np.linspace(60, 180, 48).astype(np.uint8), (400, 48, 1))
    augmented, _ = augmentation.augment(
        faces, np.random.default_rng(0), Augmentation(degrading=0.5)
    )
    changes = augmented.astype(float) - faces
    changed = changes[(changes != 0).any(axis=(1, 2))]
    assert 0.4 < len(changed) / len(faces) < 0.6
    assert abs(changed.mean()) < 0.5 and 3 < changed.std(axis=(1, 2)).max() < 13
    same_rows = (changed == changed[:, :1]).all(axis=(1, 2))  # JPEG keeps the rows alike
    assert 0.3 < same_rows.mean() < 0.7


def test_ten_views_are_as_it_is_smaller_larger_turned_and_each_mirrored():
    face = np.zeros((1, 48, 48), np.uint8)
    face[:, 10:20, 20:28] = 255  # above the middle
    views = augmentation.views(10)
    plain, mirrored, small, _, large, _, right, _, left, _ = (
        augmentation.seen(face, view)[0] for view in views
    )
    assert (plain == face[0]).all() and (mirrored == face[0][:, ::-1]).all()
    assert small.sum() < 0.9 * plain.sum() < 1.1 * plain.sum() < large.sum()
    column = [(view * np.arange(48)).sum() / view.sum() for view in (right, plain, left)]
    assert column[0] - column[1] == pytest.approx(1.2, abs=0.3) and column[1] - column[
        2
    ] == pytest.approx(1.2, abs=0.3)
    assert [len(augmentation.views(number)) for number in augmentation.VIEWS] == [1, 2, 10]
    assert len(augmentation.seen(face[:0], views[-1])) == 0
    with pytest.raises(ValueError, match="views 3 is not one of 1, 2, 10"):
        augmentation.views(3)


HOW = Augmentation(rotation=10, shift=0.1, zoom=0.1, flip=True, erasing=0.5)


def test_the_random_stream_of_before():
    """Held as numbers, so that a training of before can be repeated to the last digit."""
    rng = np.random.default_rng(7)
    augmented, mirrored = augmentation.augment(images(20), rng, HOW)
    assert augmented.sum(dtype=np.int64) == pytest.approx(5_855_994, rel=1e-5)
    assert mirrored.sum() == 8 and rng.random() == 0.5806528638528226


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_sharp_faces_hold_pixels_of_the_face_only(share):
    how = Augmentation(rotation=10, shift=0.1, zoom=0.1, flip=True, sharp=share)
    n = 200
    faces = np.arange(48 * 48).reshape(48, 48) % 251 + np.zeros((n, 1, 1))
    augmented, mirrored = augmentation.augment(
        faces.astype(np.uint8), np.random.default_rng(0), how
    )
    upright = np.where(mirrored[:, None, None], augmented[:, :, ::-1], augmented).astype(int)
    inside = upright[:, 8:40, 8:40]
    steps = np.diff(inside, axis=2) % 251, np.diff(inside, axis=1) % 251
    sharp = (steps[0] == 1).all((1, 2)) & (steps[1] == 48).all((1, 2))
    assert sharp.mean() == pytest.approx(share, abs=0.09)
    assert len(np.unique(inside[sharp, 0, 0])) > 5 and mirrored[sharp].any()
