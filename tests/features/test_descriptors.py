from dataclasses import replace

import numpy as np
import pytest

from fercore import paths
from fercore.data import synthetic
from fercore.features import descriptors, sift
from fercore.features.descriptors import DescriptorError

SMALL = {"words": 20}


@pytest.fixture(scope="module")
def faces():
    drawn = synthetic.faces(train=21, validation=7, test=7)
    drawn.images[3] = 128  # no keypoint
    return drawn


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    return tmp_path / "descriptors"


TRAIN = np.arange(21)


def with_other_tests(faces):
    images = faces.images.copy()
    images[21:] = synthetic.faces(train=14, validation=0, test=0, seed=9).images
    return replace(faces, images=images)


@pytest.mark.parametrize(("name", "parameters"), [("sift", SMALL), ("dsift", {})])
def test_the_second_view_is_that_of_the_flipped_face(faces, name, parameters):
    both = descriptors.load(name, faces, TRAIN, **parameters)
    assert both.dtype == np.uint8 and both.shape == (len(faces), 2, 20 if name == "sift" else 2048)
    if name == "dsift":
        assert np.array_equal(both[:, 1], sift.dense_sift(faces.images[:, :, ::-1]))
    else:
        words = sift.VisualWords(words=20).fit(faces.images[TRAIN])
        assert np.array_equal(both[:, 0], words.transform(faces.images))
        assert np.array_equal(both[:, 1], words.transform(faces.images[:, :, ::-1]))


def test_the_vocabulary_is_fitted_on_training_faces_only(faces):
    first, second = (
        descriptors.load("sift", each, TRAIN, **SMALL) for each in (faces, with_other_tests(faces))
    )
    assert np.array_equal(first[TRAIN], second[TRAIN]) and not np.array_equal(first, second)


def test_as_published_the_vocabulary_sees_all_faces(faces):
    options = SMALL | {"fit_on": "all"}
    first, second = (
        descriptors.load("sift", each, TRAIN, **options)
        for each in (faces, with_other_tests(faces))
    )
    assert not np.array_equal(first[TRAIN], second[TRAIN])


def test_a_face_without_a_keypoint_stays_zero(faces):
    counts = descriptors.load("sift", faces, TRAIN, **SMALL)
    for how in ("frequency", "hellinger"):
        assert not descriptors.scale("sift", counts, how)[3].any()


def test_a_network_sees_shares_of_the_keypoints(faces):
    counts = descriptors.load("sift", faces, TRAIN, **SMALL)[:, 0]
    seen = descriptors.scale("sift", counts)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(np.delete(seen, 3, 0).sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        (descriptors.scale("sift", counts, "hellinger") ** 2)[4:].sum(-1), 1, rtol=1e-6
    )


def test_a_network_sees_dense_sift_of_length_one(faces):
    values = descriptors.load("dsift", faces, TRAIN)
    seen = descriptors.scale("dsift", values)
    lengths = np.linalg.norm(seen.reshape(-1, 16, 128), axis=-1)
    assert seen.dtype == np.float32 and 0.95 < np.median(lengths) < 1.05
    assert descriptors.scale("dsift", values, "raw").max() == values.max()


@pytest.mark.parametrize(("name", "parameters"), [("sift", SMALL), ("dsift", {})])
def test_what_was_computed_is_read_again(faces, cache, monkeypatch, name, parameters):
    first = descriptors.load(name, faces, TRAIN, **parameters)
    monkeypatch.setattr(sift, "_of_each", None)
    assert np.array_equal(first, descriptors.load(name, faces, TRAIN, **parameters))
    assert len(list(cache.iterdir())) == 1


def test_defaults_spelt_out_are_the_same(faces, cache):
    descriptors.load("dsift", faces, TRAIN)
    descriptors.load("dsift", faces, TRAIN, step=12, size=12)
    assert len(list(cache.iterdir())) == 1


def test_other_pixels_rows_or_parameters_are_computed_anew(faces, cache):
    descriptors.load("sift", faces, TRAIN, **SMALL)
    descriptors.load("sift", faces, TRAIN[:15], **SMALL)
    descriptors.load("sift", faces, TRAIN, words=10)
    descriptors.load("sift", with_other_tests(faces), TRAIN, **SMALL)
    assert len(list(cache.iterdir())) == 4


def test_training_rows_do_not_matter_to_what_does_not_learn(faces, cache):
    descriptors.load("dsift", faces, TRAIN)
    descriptors.load("dsift", faces, TRAIN[:5])
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    "damage", [lambda data: data[:500], lambda data: b"", lambda data: data[:-900] + bytes(900)]
)
def test_a_damaged_cache_is_rebuilt(faces, cache, damage):
    first = descriptors.load("dsift", faces, TRAIN)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert np.array_equal(first, descriptors.load("dsift", faces, TRAIN))
    assert len(path.read_bytes()) == len(whole)


def test_a_cache_that_cannot_be_written_is_a_warning(faces, cache, caplog):
    cache.write_text("a file where the folder would be")
    both = descriptors.load("dsift", faces, TRAIN)
    assert np.array_equal(both[:, 0], sift.dense_sift(faces.images))
    assert "going on without" in caplog.text


def test_mistakes_are_named_in_a_line(faces):
    cases = {
        "descriptor 'surf' is unknown; there are sift, dsift": ("surf", {}),
        "fit_on 'test': must be 'train' or 'all'": ("sift", {"fit_on": "test"}),
    }
    for message, (name, parameters) in cases.items():
        with pytest.raises(DescriptorError, match=message) as caught:
            descriptors.load(name, faces, TRAIN, **parameters)
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'wrods'"):
        descriptors.load("sift", faces, TRAIN, wrods=5)
    with pytest.raises(
        DescriptorError, match="scaling of 'sift' 'log' is unknown; there are frequency, hellinger"
    ):
        descriptors.scale("sift", np.zeros((1, 20), np.uint8), "log")
