"""Dense SIFT inside a network: OpenCV's descriptors, of the picture as it is augmented."""

import keras
import numpy as np
import pytest

from fercore.data import augmentation, synthetic
from fercore.features import sift, sift_layer
from fercore.models import registry


@pytest.fixture(scope="module")
def images():
    return synthetic.faces(4).images


def given(layer, images):
    return np.asarray(layer(images[..., None].astype(np.float32)))


@pytest.mark.parametrize("grid", [{}, {"step": 16, "size": 8, "first": 8}])
def test_values_are_opencv_s(images, grid):
    theirs = sift.DenseSift(**grid).transform(images) / 512
    ours = given(sift_layer.DenseSiftLayer(**grid), images)
    assert ours.shape == theirs.shape
    ours, theirs = (x.reshape(-1, sift.LENGTH) for x in (ours, theirs))
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosine.mean() > 0.999 and cosine.min() > 0.99
    assert np.abs(ours - theirs).max() < 0.02


def test_brightness_and_contrast_cancel_out(images):
    layer = sift_layer.DenseSiftLayer()
    seen = np.asarray(layer(augmentation.normalise(images, "standardise")))
    assert np.allclose(seen, given(layer, images), atol=1e-4)


def test_a_constant_picture_has_zeros():
    values = given(sift_layer.DenseSiftLayer(), np.full((1, 48, 48), 128, np.uint8))
    assert not values.any()


def test_pictures_of_two_sides_are_refused():
    with pytest.raises(
        ValueError, match=r"grey square pictures \[b, side, side, 1\], not \[None, 40, 48, 1\]"
    ):
        sift_layer.DenseSiftLayer()(keras.layers.Input((40, 48, 1)))


def test_hybrid_that_follows_takes_the_picture_alone(tmp_path, images):
    model, plain = registry.build("dsift_cnn", following=True), registry.build("dsift_cnn")
    assert registry.inputs(model) == ["image"]
    assert model.count_params() == plain.count_params()
    assert len(model.trainable_variables) == len(plain.trainable_variables)
    x = augmentation.normalise(images, "standardise")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.allclose(
        model.predict_on_batch({"image": x}), again.predict_on_batch({"image": x}), atol=1e-5
    )
