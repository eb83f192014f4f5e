import importlib.util

import numpy as np
import pytest

from fercore import paths
from fercore.data import synthetic
from fercore.features import descriptors, landmarks
from fercore.features.landmarks import LandmarksMissing
from fercore.features.sift import DescriptorError

missing = not all(map(importlib.util.find_spec, ("dlib", "face_recognition_models")))
with_dlib = pytest.mark.skipif(missing, reason="dlib or its predictor is not installed")


@pytest.fixture(scope="module")
def faces():
    return synthetic.faces(train=14, validation=7, test=7)


@with_dlib
def test_each_face_has_68_points_of_a_face(faces):
    found = landmarks.landmarks(faces.images)
    assert found.shape == (len(faces), 136) and found.dtype == np.float16
    x, y = found.astype(float).reshape(len(faces), 68, 2).mean(0).T
    assert x[36:42].mean() < x[30] < x[42:48].mean()  # an eye on each side of the tip of the nose
    assert (
        y[17:27].mean() < y[36:48].mean() < y[30] < y[48:68].mean() < y[8]
    )  # brows, eyes, nose, mouth, chin


@with_dlib
def test_whole_pixels_as_published_and_fractions_of_the_enlarged_face(faces):
    whole, finer = (landmarks.landmarks(faces.images, image_scale=k).astype(float) for k in (1, 4))
    assert np.array_equal(whole, np.round(whole)) and not np.array_equal(finer, np.round(finer))
    assert np.median(np.abs(whole - finer)) < 1.5


@with_dlib
def test_the_published_rectangle_is_given_to_dlib(faces):
    import dlib

    rectangle = dlib.rectangle(left=1, top=1, right=47, bottom=47)
    expected = landmarks.predictor()(faces.images[0], rectangle).parts()
    found = landmarks.landmarks(faces.images[:1], image_scale=1)[0].reshape(68, 2)
    assert [(p.x, p.y) for p in expected] == [tuple(point) for point in found.tolist()]


@with_dlib
def test_the_second_view_is_that_of_the_flipped_face(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    both = descriptors.load("landmarks", faces, np.arange(14), image_scale=1)
    assert both.shape == (len(faces), 2, 136) and both.dtype == np.float16
    assert np.array_equal(both[:, 1], landmarks.landmarks(faces.images[:, :, ::-1], image_scale=1))
    assert np.array_equal(descriptors.scale("landmarks", both, "raw"), both.astype(np.float32))


def test_only_the_shape_stays():
    points = np.random.default_rng(0).normal(24, 9, (5, 2, 136)).astype(np.float16)
    moved = points.astype(np.float32) * 0.5 + np.tile([3, -7], 68)
    shape = landmarks.shape(points)
    np.testing.assert_allclose(landmarks.shape(moved), shape, atol=1e-4)
    pairs = shape.reshape(5, 2, 68, 2)
    np.testing.assert_allclose(pairs.mean(2), 0, atol=1e-5)
    np.testing.assert_allclose((pairs**2).sum(-1).mean(-1), 1, rtol=1e-4)
    assert not landmarks.shape(np.full((1, 136), 7, np.float16)).any()


def test_centred_points_reach_from_minus_one_to_one():
    assert landmarks.centred(np.array([0.0, 24.0, 48.0])).tolist() == [-1, 0, 1]


def without(monkeypatch, package):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found(name)
    )


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models"])
def test_what_is_missing_is_named_in_a_line(faces, package, monkeypatch, tmp_path):
    without(monkeypatch, package)
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    landmarks.predictor.cache_clear()
    message = "dlib or .* is missing; pip install dlib-bin face_recognition_models"
    with pytest.raises(LandmarksMissing, match=message) as caught:
        descriptors.load("landmarks", faces, np.arange(14))
    assert "\n" not in str(caught.value)


def test_mistakes_are_named_in_a_line(faces):
    with pytest.raises(DescriptorError, match="image_scale 0 must be 1 or more"):
        landmarks.landmarks(faces.images, image_scale=0)
