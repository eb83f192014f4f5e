"""Pairs of networks with and without batch normalisation, and short trainings over learning
rates."""

import numpy as np
import pandas as pd
import pytest
from made_up import faces, run

from fercore import artifacts
from fercore.config import parameters
from fercore.data import datasets, splits
from fercore.training import batch_normalisation as bn
from fercore.training import sweeps, trainer


def predicted(folder, data, network, wrong):
    """Predictions on five classes, the first `wrong` test faces off by one class."""
    five, split = splits.prepare(data, bn.SPLIT)
    rows = np.concatenate([split.validation, split.test])
    said = five.labels[rows].astype(int)
    said[len(split.validation) : len(split.validation) + wrong] += 1
    part = np.repeat(
        [artifacts.VALIDATION, artifacts.TEST], [len(split.validation), len(split.test)]
    )
    values = artifacts.Predictions(
        five.row_ids[rows], part, np.eye(5)[said % 5], np.eye(5)[said % 5]
    )
    record = {
        "data": {
            "origin": data.origin,
            "fingerprint": data.fingerprint,
            "n": len(five),
            "subset": None,
        }
    }
    artifacts.save_predictions(folder, bn.SPLIT, network, 0, values, record)
    return len(split.test)


def test_gains_are_differences_on_the_same_faces_beside_the_published(tmp_path):
    data = faces()
    n = predicted(tmp_path, data, "model_b_landmarks", wrong=5)
    predicted(tmp_path, data, "model_b_landmarks_nobn", wrong=25)
    predicted(tmp_path, data, "model_a", wrong=0)
    table = bn.gains(run(tmp_path, data)).set_index(["model", "features"])
    pair = table.loc["model_b", "+ landmarks"]
    assert pair.n == n and pair["with"] == pytest.approx(100 * (1 - 5 / n), abs=0.01)
    assert pair.gain == pytest.approx(100 * 20 / n) and pair.gain_low < pair.gain < pair.gain_high
    assert (pair.published_with, pair.published_without) == (
        74.4,
        24.4,
    ) and pair.published_gain == pytest.approx(50)
    lone = table.loc["model_a", "pixels"]
    assert lone["with"] == 100 and np.isnan(lone["without"]) and np.isnan(lone.gain)
    assert len(table) == 8 and table["with"].notna().sum() == 2


def test_published_gains_are_those_of_system_e():
    published = [[7.4, 26.2, 1.9, 16.7], [39.3, 50.0, 50.1, 16.9]]
    for model, expected in zip(("model_a", "model_b"), published, strict=True):
        for ending, gain in zip(bn.FEATURES, expected, strict=True):
            with_it, without = (parameters.network(model + ending + e) for e in ("", bn.WITHOUT))
            assert (
                without["parameters"]["normalised"] is False
                and "normalised" not in with_it["parameters"]
            )
            assert (
                with_it["inputs"]
                == without["inputs"]
                == ["image", *with_it["parameters"].get("features", [])]
            )
            values = [one["published"][bn.SPLIT]["test"] for one in (with_it, without)]
            assert values[0] - values[1] == pytest.approx(gain)


SMALL = {"data": "synthetic", "subset": 20, "epochs": 1}


@pytest.fixture
def trained(monkeypatch):
    """Trainings that are made up: without batch normalisation they fail above a rate of 0.01."""
    followed = []

    def fit(model, train, validation, recipe, *, seed):
        normalised, weights = model
        followed.append((normalised, weights, recipe))
        failed = not normalised and recipe.learning_rate > 0.01
        row = {
            "val_accuracy": 0.2 if failed else 0.5,
            "val_loss": np.nan if failed else 1.0,
            "seconds": 1.0,
        }
        return pd.DataFrame([row])

    monkeypatch.setattr(
        trainer, "build", lambda *_, normalised, weights, **__: (normalised, weights)
    )
    monkeypatch.setattr(trainer, "fit", fit)
    return followed


def test_each_combination_is_trained_once_and_rows_are_kept(tmp_path, trained):
    first = bn.short_trainings("model_a", [0.001, 0.1], ["published"], tmp_path, **SMALL)
    assert len(first) == len(trained) == 4
    again = bn.short_trainings(
        "model_a", [0.001, 0.1], ["published", "He weights"], tmp_path, **SMALL
    )
    assert len(again) == len(trained) == 8
    assert {weights for _, weights, _ in trained[:4]} == {"published"} and trained[4][1] == "he"
    _, split = splits.prepare(
        datasets.subset(datasets.load("synthetic"), SMALL["subset"]), bn.SPLIT
    )
    assert bn.path(tmp_path, "model_a", len(split.train), epochs=1, seed=0).exists()
    highest = bn.highest_rate(again, chance=0.25)
    assert highest.loc["published", "with"] == 0.1 and highest.loc["published", "without"] == 0.001
    with pytest.raises(
        ValueError, match="variant luck is unknown; there are published, He weights"
    ):
        bn.short_trainings("model_a", [0.1], ["luck"], tmp_path, **SMALL)


def test_rows_of_another_batch_size_or_other_data_stay_apart(tmp_path, trained):
    for size in (8, 16, 16):
        bn.short_trainings(
            "model_a", [0.001], ["published"], tmp_path, **SMALL | {"batch_size": size}
        )
    assert [recipe.batch_size for _, _, recipe in trained] == [8, 8, 16, 16]
    [file] = (tmp_path / "tables").iterdir()
    file.write_text(file.read_text().replace("embedded", "other"))
    bn.short_trainings("model_a", [0.001], ["published"], tmp_path, **SMALL | {"batch_size": 16})
    assert len(trained) == 6


def test_rows_kept_before_they_had_a_recipe_are_shown_and_give_way(tmp_path, trained):
    wanted = {**SMALL, "batch_size": 16}
    bn.short_trainings("model_a", [0.001], ["published"], tmp_path, **wanted)
    [file] = (tmp_path / "tables").iterdir()
    former = pd.read_csv(file).drop(columns="recipe")
    former.to_csv(file, index=False)
    assert (
        sweeps.stored(file, batch_size=16).equals(former)
        and sweeps.stored(file, batch_size=8).empty
    )
    assert sweeps.stored(tmp_path / "none.csv", batch_size=16).empty
    bn.short_trainings("model_a", [0.001], ["published"], tmp_path, **wanted)
    assert len(trained) == 4 and pd.read_csv(file).recipe.notna().tolist() == [True, True]


def test_a_change_of_a_variant_counts(tmp_path, trained, monkeypatch):
    for momentum in (0.0, 0.5, 0.5):
        monkeypatch.setitem(bn.VARIANTS, "no momentum", bn.Variant(changes={"momentum": momentum}))
        table = bn.short_trainings(
            "model_a", [0.001], ["published", "no momentum"], tmp_path, **SMALL
        )
    assert [recipe.momentum for _, _, recipe in trained] == [0.95, 0.95, 0, 0, 0.5, 0.5]
    [file] = (tmp_path / "tables").iterdir()
    assert len(pd.read_csv(file)) == len(table) == 4


def test_a_variant_changes_what_it_names_only(tmp_path, trained):
    bn.short_trainings(
        "model_a", [0.01], ["published", "no momentum", "inputs standardised"], tmp_path, **SMALL
    )
    published, still, standardised = (recipe for normalised, _, recipe in trained if normalised)
    assert (published.momentum, published.normalisation, published.learning_rate) == (
        0.95,
        "raw",
        0.01,
    )
    assert (still.momentum, still.normalisation) == (0, "raw")
    assert (standardised.momentum, standardised.normalisation) == (0.95, "standardise")
