"""HOG inside a network: that of `hog`, of the picture as it is augmented."""

import keras
import numpy as np
import pytest

from fercore.data import augmentation, synthetic
from fercore.features import hog, hog_layer
from fercore.features.sift import DescriptorError
from fercore.models import registry


@pytest.fixture(scope="module")
def images():
    noise = np.random.default_rng(0).integers(0, 256, (2, 48, 48), np.uint8)
    return np.concatenate([synthetic.faces(4).images, noise, np.full((1, 48, 48), 128, np.uint8)])


@pytest.mark.parametrize(
    "sizes", [{}, {"window": 48, "step": 48, "cell": 16}, {"window": 20, "step": 7, "cell": 5}]
)
def test_values_are_those_of_hog_in_windows(images, sizes):
    found = np.asarray(hog_layer.HogLayer(**sizes)(images[..., None].astype(np.float32)))
    np.testing.assert_allclose(found, hog.hog_windows(images, **sizes), atol=1e-6)


def test_brightness_and_contrast_cancel_out(images):
    found = np.asarray(hog_layer.HogLayer()(augmentation.normalise(images, "standardise")))
    np.testing.assert_allclose(found, hog.hog_windows(images), atol=0.01)


def test_pictures_of_other_sides_and_cells_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"grey pictures \[b, 48, 48, 1\], not \[None, 40, 40, 1\]"
    ):
        hog_layer.HogLayer()(keras.layers.Input((40, 40, 1)))
    with pytest.raises(DescriptorError, match="cells of 30 in windows of 24"):
        hog_layer.HogLayer(cell=30)(keras.layers.Input((48, 48, 1)))


def test_network_whose_hog_follows_takes_picture_and_landmarks(tmp_path, images):
    model = registry.build("model_a", features=("landmarks", "hog_windows"), following=True)
    assert sorted(registry.inputs(model)) == ["image", "landmarks"]
    x = {
        "image": augmentation.normalise(images, "standardise"),
        "landmarks": np.zeros((len(images), 136), np.float32),
    }
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(model.predict_on_batch(x), again.predict_on_batch(x), atol=1e-5)
