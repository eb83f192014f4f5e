"""Short trainings of variants of the compact network: one thing changed in each, rows kept, changes
counted."""

import numpy as np
import pandas as pd
import pytest

from fercore.training import ablation, experiments, prediction, trainer

SMALL = {"split": "official", "data": "synthetic", "subset": 14, "epochs": 1, "batch_size": 7}


def test_variants_are_trained(monkeypatch, tmp_path):
    monkeypatch.setattr(ablation, "CHANNELS", [8, 8, 8, 8])
    names = [ablation.BASE, "whole faces, no crop", "squeeze and excitation"]
    table = ablation.ablate(names, [0], tmp_path, **SMALL)
    assert list(table.variant) == names
    assert table.accuracy.between(0, 100).all() and table.seconds.gt(0).all()


@pytest.fixture
def made_up(monkeypatch):
    """Trainings that take no time; what they were asked for."""
    asked = []

    def fit(model, train, validation, recipe, *, seed):
        asked.append((recipe, seed, train.soft_labels is not None))
        return pd.DataFrame([{"accuracy": 0.5, "seconds": 1.0}])

    monkeypatch.setattr(experiments, "build", lambda experiment, **parameters: parameters)
    monkeypatch.setattr(trainer, "fit", fit)
    monkeypatch.setattr(prediction, "predict", lambda model, part, *_, **__: np.eye(7)[part.labels])
    return asked


def test_a_variant_changes_what_it_says_and_rows_are_kept(made_up, tmp_path):
    names = [ablation.BASE, "twice the epochs", "labels not smoothed", "votes of FER+"]
    first = ablation.ablate(names, [0], tmp_path, **SMALL)
    base, longer, plain, votes = (recipe for recipe, _, _ in made_up)
    assert (base.epochs, longer.epochs) == (1, 2)
    assert base.label_smoothing == votes.label_smoothing == 0.1 and plain.label_smoothing == 0
    assert [soft for _, _, soft in made_up] == [False, False, False, True]
    assert list(first.mirrored) == [100] * 4
    again = ablation.ablate(names[:2], [0, 1], tmp_path, **SMALL)
    assert len(made_up) == 6 and [seed for _, seed, _ in made_up[4:]] == [1, 1]
    assert list(again.seed) == [0, 0, 1, 1]


def test_rows_of_other_faces_are_not_taken(made_up, tmp_path):
    ablation.ablate([ablation.BASE], [0], tmp_path, **SMALL)
    file = ablation.path(tmp_path, **SMALL)
    file.write_text(file.read_text().replace("synthetic", "other"))
    ablation.ablate([ablation.BASE], [0], tmp_path, **SMALL)
    assert len(made_up) == 2 and len(pd.read_csv(file)) == 2


def test_a_change_of_the_recipe_counts(made_up, tmp_path):
    for rate in (None, 0.05, 0.05):
        ablation.ablate([ablation.BASE], [0], tmp_path, **SMALL, learning_rate=rate)
    assert len(made_up) == 2 and made_up[1][0].learning_rate == 0.05
    assert len(pd.read_csv(ablation.path(tmp_path, **SMALL))) == 1


def test_an_unknown_variant_is_named(tmp_path):
    with pytest.raises(
        ValueError, match="variant luck is unknown; there are as it is, twice the epochs"
    ):
        ablation.ablate(["luck"], [0], tmp_path, **SMALL)


def test_changes_are_against_the_base_of_the_same_seed():
    table = pd.DataFrame(
        {
            "variant": [ablation.BASE, "b"] * 2,
            "seed": [0, 0, 1, 1],
            "mirrored": [60.0, 62, 61, 62],
            "train_accuracy": 50.0,
            "seconds": 10.0,
        }
    )
    found = ablation.changes(table).set_index("variant")
    assert list(found.index) == ["b", ablation.BASE]
    assert found.loc["b", "change"] == 1.5 and found.loc["b", "deviation"] == pytest.approx(
        np.std([2, 1], ddof=1)
    )
    assert found.loc[ablation.BASE, "change"] == 0 and found.loc["b", "seeds"] == 2
