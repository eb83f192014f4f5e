"""Dense SIFT and HOG inside a network: those of `sift` and `hog`, of the picture as augmented."""

import keras
import numpy as np
import pytest

from fercore.data import augmentation, synthetic
from fercore.features import hog, layers, sift
from fercore.features.sift import DescriptorError
from fercore.models import registry


@pytest.fixture(scope="module")
def images():
    noise = np.random.default_rng(0).integers(0, 256, (2, 48, 48), np.uint8)
    return np.concatenate([synthetic.faces(4).images, noise, np.full((1, 48, 48), 128, np.uint8)])


def given(layer, images):
    return np.asarray(layer(images[..., None].astype(np.float32)))


@pytest.mark.parametrize("grid", [{}, {"step": 16, "size": 8, "first": 8}])
def test_dense_sift_is_opencv_s(images, grid):
    theirs = sift.dense_sift(images[:4], **grid) / 512
    ours = given(layers.DenseSiftLayer(**grid), images[:4])
    assert ours.shape == theirs.shape
    ours, theirs = (x.reshape(-1, sift.LENGTH) for x in (ours, theirs))
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosine.mean() > 0.999 and cosine.min() > 0.99
    assert np.abs(ours - theirs).max() < 0.02


@pytest.mark.parametrize(
    "sizes", [{}, {"window": 48, "step": 48, "cell": 16}, {"window": 20, "step": 7, "cell": 5}]
)
def test_hog_is_that_of_windows(images, sizes):
    found = given(layers.HogLayer(**sizes), images)
    np.testing.assert_allclose(found, hog.hog_windows(images, **sizes), atol=1e-6)


def test_brightness_and_contrast_cancel_out(images):
    standardised = augmentation.normalise(images, "standardise")
    seen = np.asarray(layers.DenseSiftLayer()(standardised))
    assert np.allclose(seen, given(layers.DenseSiftLayer(), images), atol=1e-4)
    found = np.asarray(layers.HogLayer()(standardised))
    np.testing.assert_allclose(found, hog.hog_windows(images), atol=0.01)


def test_a_constant_picture_has_zeros(images):
    for layer in (layers.DenseSiftLayer(), layers.HogLayer()):
        assert not given(layer, images[-1:]).any()


def test_pictures_of_other_sides_and_cells_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"gray square pictures \[b, side, side, 1\], not \[None, 40, 48, 1\]"
    ):
        layers.DenseSiftLayer()(keras.layers.Input((40, 48, 1)))
    with pytest.raises(
        ValueError, match=r"gray pictures \[b, 48, 48, 1\], not \[None, 40, 40, 1\]"
    ):
        layers.HogLayer()(keras.layers.Input((40, 40, 1)))
    with pytest.raises(DescriptorError, match="cells of 30 in windows of 24"):
        layers.HogLayer(cell=30)(keras.layers.Input((48, 48, 1)))


def saved_and_loaded(model, path):
    model.save(path)
    return keras.models.load_model(path)


def test_hybrid_that_follows_takes_the_picture_alone(tmp_path, images):
    model, plain = registry.build("dsift_cnn", following=True), registry.build("dsift_cnn")
    assert registry.inputs(model) == ["image"]
    assert model.count_params() == plain.count_params()
    assert len(model.trainable_variables) == len(plain.trainable_variables)
    x = {"image": augmentation.normalise(images, "standardise")}
    again = saved_and_loaded(model, tmp_path / "model.keras")
    np.testing.assert_allclose(model.predict_on_batch(x), again.predict_on_batch(x), atol=1e-5)


def test_network_whose_hog_follows_takes_picture_and_landmarks(tmp_path, images):
    model = registry.build("model_a", features=("landmarks", "hog_windows"), following=True)
    assert sorted(registry.inputs(model)) == ["image", "landmarks"]
    x = {
        "image": augmentation.normalise(images, "standardise"),
        "landmarks": np.zeros((len(images), 136), np.float32),
    }
    again = saved_and_loaded(model, tmp_path / "model.keras")
    np.testing.assert_allclose(model.predict_on_batch(x), again.predict_on_batch(x), atol=1e-5)
