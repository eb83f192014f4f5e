import numpy as np
import pytest

from fercore.data import synthetic
from fercore.features import hog
from fercore.features.sift import DescriptorError

skimage = pytest.importorskip("skimage.feature", reason="scikit-image is the reference")


@pytest.fixture(scope="module")
def images():
    noise = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)
    constant = np.full((1, 48, 48), 128, np.uint8)
    return np.concatenate([synthetic.faces(train=7, validation=0, test=0).images, noise, constant])


def reference(image, cell, orientations=8):
    return skimage.hog(image, orientations, (cell, cell), (1, 1), block_norm="L2")


def in_windows(image, size, step, cell, orientations=8):
    """As system E does: a call for each window, cut at the border; one smaller than a cell has no
    values."""
    windows = [
        image[y : y + size, x : x + size] for y in range(0, 48, step) for x in range(0, 48, step)
    ]
    return np.concatenate(
        [reference(w, cell, orientations) for w in windows if min(w.shape) >= cell]
    )


def test_the_whole_face_is_described_as_by_scikit_image(images):
    expected = np.array([reference(image, 16) for image in images])
    found = hog.hog(images)
    assert found.shape == (len(images), 72) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_windows_are_described_as_by_scikit_image(images):
    expected = np.array([in_windows(image, 24, 6, 8) for image in images])
    found = hog.hog_windows(images)
    assert found.shape == (len(images), 2592)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("window", "step", "cell", "orientations"), [(20, 7, 5, 9), (48, 48, 8, 4), (16, 16, 16, 6)]
)
def test_so_are_other_sizes(images, window, step, cell, orientations):
    expected = np.array([in_windows(image, window, step, cell, orientations) for image in images])
    options = {"window": window, "step": step, "cell": cell, "orientations": orientations}
    np.testing.assert_allclose(hog.hog_windows(images, **options), expected, atol=1e-6)


def test_many_faces_are_the_same_as_one_by_one(images, monkeypatch):
    one_by_one = np.concatenate([hog.hog_windows(image[None]) for image in images])
    monkeypatch.setattr(hog, "FACES_A_PRODUCT", 4)
    np.testing.assert_allclose(hog.hog_windows(images), one_by_one, atol=1e-6)


def test_a_face_of_one_grey_value_has_no_direction(images):
    assert not hog.hog(images)[-1].any() and not hog.hog_windows(images)[-1].any()


def test_no_faces_have_no_histograms():
    assert hog.hog(np.empty((0, 48, 48), np.uint8)).shape == (0, 72)


def test_mistakes_are_named_in_a_line(images):
    with pytest.raises(DescriptorError, match="cells of 16 in windows of 12"):
        hog.hog_windows(images, window=12, cell=16)
    with pytest.raises(DescriptorError, match=r"float64 \[48, 48\]"):
        hog.hog(np.zeros((48, 48)))
