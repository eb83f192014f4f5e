import cv2
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from fercore.data import synthetic
from fercore.features import sift
from fercore.features.sift import DescriptorError, VisualWords, dense_sift


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    drawn = synthetic.faces(train=21, validation=7, test=7).images.copy()
    drawn[3] = 128  # no keypoint
    return drawn


def test_dense_sift_has_sixteen_keypoints_column_by_column():
    positions = [keypoint.pt for keypoint in sift.grid()]
    assert positions[:5] == [(6, 6), (6, 18), (6, 30), (6, 42), (18, 6)]
    assert len(positions) == 16 and positions[-1] == (42, 42)
    assert {keypoint.size for keypoint in sift.grid()} == {12}


def test_dense_sift_is_what_opencv_computes_on_the_face(images):
    values = dense_sift(images)
    assert values.shape == (len(images), 2048) and values.dtype == np.uint8
    for image, row in zip(images, values, strict=True):
        points = [
            cv2.KeyPoint(float(x), float(y), 12) for x in (6, 18, 30, 42) for y in (6, 18, 30, 42)
        ]
        assert np.array_equal(cv2.SIFT_create().compute(image, points)[1].ravel(), row)


def test_another_grid_gives_another_length(images):
    assert dense_sift(images[:2], step=8, size=8, first=4).shape == (2, 36 * 128)


def test_keypoint_descriptors_are_what_opencv_computes_on_the_face(images):
    for image, found in zip(images, sift.keypoint_descriptors(images), strict=True):
        expected = cv2.SIFT_create().detectAndCompute(image, None)[1]
        assert np.array_equal(found, np.empty((0, 128)) if expected is None else expected)


def test_an_enlarged_face_has_more_keypoints(images):
    once, twice = (sum(map(len, sift.keypoint_descriptors(images[:5], scale))) for scale in (1, 2))
    assert twice > once


def test_opencv_keeps_its_number_of_threads(images):
    before = cv2.getNumThreads()
    dense_sift(images[:1])
    with pytest.raises(cv2.error):
        sift._of_each(images, lambda extractor, image: extractor.compute("no image", []), "")
    assert cv2.getNumThreads() == before


def test_counts_are_those_of_words_predicted_one_by_one(images):
    words = VisualWords(words=20).fit(images)
    counts = words.transform(images)
    assert counts.shape == (len(images), 20) and counts.dtype == np.uint8
    for descriptors, row in zip(sift.keypoint_descriptors(images), counts, strict=True):
        expected = np.zeros(20)
        for descriptor in descriptors.astype(float):
            expected[((words.centres_ - descriptor) ** 2).sum(1).argmin()] += 1
        assert np.array_equal(row, expected)


def test_keypoints_found_before_give_the_same_counts(images):
    found = sift.keypoint_descriptors(images)
    counts = VisualWords(words=20).fit(images).transform(images)
    assert np.array_equal(VisualWords(words=20).fit(found).transform(found), counts)


def test_a_face_without_a_keypoint_has_a_zero_histogram(images):
    words = VisualWords(words=20).fit(images)
    assert not words.transform(images)[3].any()
    assert not words.transform(images[3:4]).any()
    assert words.transform(images[:0]).shape == (0, 20)


def test_the_vocabulary_is_the_same_with_the_same_seed(images):
    first, same, other = (
        VisualWords(words=20, seed=seed).fit(images).centres_ for seed in (0, 0, 1)
    )
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_with_fewer_keypoints_than_words_the_rest_stay_unused(images):
    words = VisualWords(words=2048).fit(images[:4])
    counts = words.transform(images)
    assert counts.shape == (len(images), 2048) and len(words.centres_) < 2048
    assert not counts[:, len(words.centres_) :].any()


def test_faces_without_keypoints_make_no_vocabulary():
    with pytest.raises(DescriptorError, match="no SIFT keypoint in 5 faces"):
        VisualWords(words=20).fit(np.full((5, 48, 48), 90, np.uint8))


def test_they_are_scikit_learn_estimators(images):
    assert clone(VisualWords(words=20, seed=3)).get_params()["seed"] == 3
    assert make_pipeline(VisualWords(words=20), StandardScaler()).fit_transform(images).shape == (
        len(images),
        20,
    )
    assert make_pipeline(FunctionTransformer(dense_sift), StandardScaler()).fit_transform(
        images
    ).shape == (
        len(images),
        2048,
    )


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 48, 48)),
        np.zeros((48, 48), np.uint8),
        np.zeros((2, 48, 48, 1), np.uint8),
        np.zeros((2, 64, 64), np.uint8),
        "faces.csv",
    ],
)
def test_wrong_images_are_named(images):
    for compute in (dense_sift, VisualWords(words=2).fit):
        with pytest.raises(
            DescriptorError, match=r"images are .*; descriptors need uint8 \[n, 48, 48\]"
        ):
            compute(images)


def test_wrong_parameters_are_named(images):
    with pytest.raises(DescriptorError, match="image_scale 0"):
        VisualWords(words=2, image_scale=0).fit(images)
    with pytest.raises(DescriptorError, match="no keypoint within 48 pixels"):
        dense_sift(images, first=50)
