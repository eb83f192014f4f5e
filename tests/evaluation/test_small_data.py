"""Data of a user's own: two classes and 20 faces, and FER2013 without its pixels."""

import numpy as np
import pytest
from made_up import predict, run

from fercore import artifacts, paths
from fercore.data import datasets, splits
from fercore.data.faces import from_arrays
from fercore.evaluation import aggregates, comparison, metrics, scoring, tables


def twenty(validation: int = 4, classes: tuple[str, ...] = ("Cat", "<b>Dog")):
    """Faces of two classes, 20 in all; all test faces are of the first."""
    images = np.random.default_rng(0).integers(0, 256, (20, 48, 48), np.uint8)
    usage = np.repeat([0, 1, 2], [16 - validation, validation, 4])
    labels = np.arange(20) % 2 * (usage < 2)
    return from_arrays(images, labels, usage, "not FER2013: cats", classes)


@pytest.fixture(params=[2, 6])
def small(request, tmp_path):
    data = twenty(request.param)
    for network, wrong in (("cnn", 1), ("sift_cnn", 2), ("vgg", 3)):
        predict(tmp_path, data, network, wrong=wrong)
    aggregates.save_all(tmp_path, "official")
    return run(tmp_path, data)


def test_every_table_is_made_of_two_classes_and_twenty_faces(small):
    results = scoring.results(small)
    assert results.accuracy.between(0, 100).all() and results.recall.between(0, 100).all()
    assert len(tables.everything(results)) and len(comparison.ranking(results, "official"))
    assert len(tables.of_system(results, "A", fer2013=False))
    assert len(comparison.changes(small)) == 2


def test_classes_without_faces_are_left_out_of_tables_and_averages(small):
    scored = scoring.score(small, "official", "cnn")
    by_class = metrics.by_class(scored.matrix, small.faces.class_names)
    assert by_class["class"].tolist() == ["Cat"] and by_class.n.tolist() == [4]
    row = scoring.results_row(scored)
    assert row["recall"] == row["accuracy"] == 75  # not half of it for want of dogs


def test_the_ensemble_is_made_of_as_many_folds_as_there_are_faces(small):
    assert aggregates.members(aggregates.grow(aggregates.candidates(small, "official")))
    with pytest.raises(scoring.EvaluationError, match=r"networks on pooled_64_16_20: 0, .*an ens"):
        aggregates.candidates(small, "pooled_64_16_20")


def test_the_published_run_is_scored_from_facts_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    monkeypatch.setattr(datasets, "find", lambda source=None: None)
    made = scoring.at_hand(None, "published")
    assert made.profile == "published" and not made.faces.has_pixels
    key = next(key for key in artifacts.list_predictions(made.folder) if key[0] == "official")
    scored = scoring.score(made, *key)
    assert len(scored.labels) == 3589 and scored.right.mean() > 0.4
    apart = splits.deduplicated_test(*splits.prepare(made.faces, "official"))
    assert 0 < apart.sum() < 3589
