import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

from fercore import paths
from fercore.config import parameters
from fercore.data import synthetic
from fercore.models import svm

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(4, 12))


def made_up(n, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    return (CENTRES[labels] + rng.normal(0, 0.9, (n, 12))).astype(np.float32), labels


VALUES, LABELS = made_up(200, 1)
OTHERS, OTHER_LABELS = made_up(80, 2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path)


def test_the_kernel_is_that_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(svm, "ROWS_A_PRODUCT", 64)
    found = svm.kernel(VALUES, OTHERS, 0.3)
    assert found.dtype == np.float64 and found.flags.c_contiguous
    np.testing.assert_allclose(found, rbf_kernel(VALUES, OTHERS, 0.3), rtol=1e-4, atol=1e-6)


def test_decisions_are_those_of_scikit_learn_one_class_against_the_rest():
    machines = svm.fit(VALUES, LABELS, classes=4, C=2.0, gamma=0.1)
    reference = OneVsRestClassifier(SVC(C=2.0, gamma=0.1)).fit(VALUES, LABELS)
    np.testing.assert_allclose(
        svm.decide(machines, OTHERS), reference.decision_function(OTHERS), atol=5e-3
    )
    assert (svm.decide(machines, OTHERS).argmax(1) == OTHER_LABELS).mean() > 0.8
    assert machines.parameters > machines.vectors.size and machines.seconds > 0


def test_only_support_vectors_are_kept():
    far_apart = np.repeat(50 * CENTRES, 50, axis=0).astype(np.float32)
    machines = svm.fit(far_apart, np.repeat(np.arange(4), 50), classes=4, C=1.0, gamma=0.001)
    assert len(machines.vectors) < len(far_apart)


def test_a_class_without_faces_is_never_chosen():
    machines = svm.fit(VALUES, LABELS, classes=5, C=1.0, gamma=0.1)
    decisions = svm.decide(machines, OTHERS)
    assert (decisions.argmax(1) < 4).all()
    assert (decisions[:, 4] == -np.inf).all()


def test_a_kernel_known_already_changes_nothing():
    similar = svm.kernel(VALUES, VALUES, 0.1)
    how = {"classes": 4, "C": 2.0, "gamma": 0.1}
    machines, again = (svm.fit(VALUES, LABELS, **how, similar=k) for k in (None, similar))
    assert np.array_equal(machines.coefficients, again.coefficients)


def test_descriptors_weigh_alike_whatever_their_length_and_are_centred_on_training_faces():
    faces = synthetic.faces(train=70, validation=14, test=14)
    train = np.arange(70)
    found = svm.features(faces, train, ["hog", "hog_windows"], weights={"hog_windows": 0.5})
    assert found.shape == (98, 2, 72 + 2592) and found.dtype == np.float32
    hog, windows = found[train, 0, :72], found[train, 0, 72:]
    np.testing.assert_allclose(found[train, 0].mean(0), 0, atol=1e-4)
    assert (hog**2).sum(1).mean() == pytest.approx(1, abs=0.02)
    assert (windows**2).sum(1).mean() == pytest.approx(0.25, abs=0.02)
    assert np.array_equal(found[:, :, :72], svm.features(faces, train, ["hog"]))


def test_what_never_varies_in_training_says_nothing():
    faces = synthetic.faces(train=14, validation=7, test=7)
    faces.images[:14, :20] = 128
    found = svm.features(faces, np.arange(14), ["hog"], scalings={"hog": "raw"})
    assert not found[:, :, :24].any() and found[14:, 0, 24:].any() and np.abs(found).max() < 100


def test_features_learn_nothing_from_other_faces():
    faces = synthetic.faces(train=70, validation=14, test=14)
    alone = svm.features(faces.select(np.arange(70)), np.arange(70), ["hog"])
    np.testing.assert_allclose(svm.features(faces, np.arange(70), ["hog"])[:70], alone, atol=1e-5)


def test_network_files_name_descriptors_and_prices():
    names = [name for name in parameters.names("networks") if name.startswith("svm_")]
    assert names == ["svm_hog", "svm_landmarks", "svm_landmarks_hog", "svm_landmarks_hog_windows"]
    for name in names:
        content = parameters.network(name)
        assert name == "svm_" + "_".join(content["inputs"])
        assert content["parameters"].keys() >= {"C", "gamma"}
        assert content["published"].keys() == {"official_five", "official"}
