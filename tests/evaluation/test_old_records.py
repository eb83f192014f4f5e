"""Predictions that a user made under a name or a recipe that has gone since."""

import json

import pytest
from made_up import faces, predict, run

from fercore import artifacts
from fercore.evaluation import aggregates, comparison, scoring, tables


@pytest.fixture
def old(tmp_path):
    """A run with `cnn`, and with `vgg_longer` by the recipe `study_vgg_longer`."""
    data = faces()
    for name in ("cnn", "vgg_longer"):
        predict(tmp_path, data, name, wrong=7)
    path = artifacts.prediction_path(tmp_path, "official", "vgg_longer", 0).with_suffix(".json")
    record = json.loads(path.read_text()) | {"recipe": "study_vgg_longer"}
    path.write_text(json.dumps(record))
    return run(tmp_path, data)


def test_old_predictions_stay_in_the_results(old):
    results = scoring.results(old)
    assert set(results.network) == {"cnn", "vgg_longer"}
    gone = results[results.network == "vgg_longer"]
    assert gone.published.isna().all() and gone.accuracy.between(85, 100).all()
    assert "cnn" in set(tables.everything(results).network)


def test_reports_do_without_them(old):
    assert aggregates.save_all(old.folder, "official").seeds.eq("").all()
    assert comparison.changes(old).empty
