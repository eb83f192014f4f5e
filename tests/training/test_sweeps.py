"""Short trainings in one table: rows are kept, and give way when what they follow has changed."""

import dataclasses

import pandas as pd
import pytest

from fercore.config import parameters
from fercore.training import experiments, sweeps


@pytest.fixture
def made(tmp_path):
    """A sweep of trainings that are made up, and which of them were made."""
    done = []

    def sweep(recipe, *names):
        def train(name, **_):
            done.append(name)
            return {"accuracy": len(name)}

        wanted = [{"name": name, "faces": "f", "recipe": recipe} for name in names]
        return sweeps.sweep(tmp_path / "table.csv", wanted, train, "rows")

    return sweep, done, tmp_path / "table.csv"


def test_each_row_is_trained_once_and_kept(made):
    sweep, done, file = made
    first = sweep("r 1", "one", "three")
    assert list(first.accuracy) == [3, 5] and done == ["one", "three"]
    assert list(sweep("r 1", "three", "seven").accuracy) == [5, 5] and done[2:] == ["seven"]
    assert len(pd.read_csv(file)) == 3


def test_a_row_of_another_recipe_or_of_before_rows_had_one_gives_way(made):
    sweep, done, file = made
    sweep("r 1", "one")
    sweep("r 2", "one")
    assert done == ["one", "one"] and list(pd.read_csv(file).recipe) == ["r 2"]
    former = pd.read_csv(file).drop(columns="recipe")
    former.to_csv(file, index=False)
    assert sweeps.stored(file, name="one").equals(former) and sweeps.stored(file, name="x").empty
    assert sweeps.stored(file.with_name("none.csv"), name="one").empty
    sweep("r 2", "one")
    assert len(done) == 3 and list(pd.read_csv(file).recipe) == ["r 2"]


def test_a_sweep_that_was_stopped_goes_on(tmp_path):
    def train(name, **_):
        if name == "b":
            raise KeyboardInterrupt
        return {"value": 1}

    wanted = [{"name": name} for name in "abc"]
    with pytest.raises(KeyboardInterrupt):
        sweeps.sweep(tmp_path / "t.csv", wanted, train, "rows")
    made = []
    sweeps.sweep(tmp_path / "t.csv", wanted, lambda name: made.append(name) or {"value": 2}, "rows")
    assert made == ["b", "c"]


def test_a_short_training_and_its_identity():
    small = {"split": "official", "data": "synthetic", "subset": 14, "epochs": 1, "batch_size": 7}
    experiment = experiments.read("compact", **small)
    build = {"filters": [8, 8, 8, 8], "squeeze": 4}
    model, parts, history = sweeps.train(experiment, **build)
    assert len(history) == 1 and len(parts.train) == 14 and model.count_params() < 20_000
    named = sweeps.identity(experiment, **build)
    assert named == sweeps.identity(experiment, **build) and named["recipe"].startswith("compact ")
    recipe = dataclasses.replace(experiment.recipe, mixup=0.2)
    votes = experiment.settings | {"soft_labels": "ferplus"}
    others = [
        sweeps.identity(experiment),
        sweeps.identity(dataclasses.replace(experiment, recipe=recipe), **build),
        sweeps.identity(dataclasses.replace(experiment, settings=votes), **build),
    ]
    assert len({named["recipe"], *(other["recipe"] for other in others)}) == 4


def test_published_gains_of_batch_normalisation_are_those_of_system_e():
    endings = ("", "_landmarks", "_landmarks_hog", "_landmarks_hog_windows")
    published = {"model_a": [7.4, 26.2, 1.9, 16.7], "model_b": [39.3, 50.0, 50.1, 16.9]}
    for model, gains in published.items():
        for ending, gain in zip(endings, gains, strict=True):
            pair = [parameters.network(model + ending + end) for end in ("", "_nobn")]
            values = [one["published"]["official_five"]["test"] for one in pair]
            assert values[0] - values[1] == pytest.approx(gain)
            assert pair[1]["parameters"]["normalised"] is False
            assert pair[0]["inputs"] == pair[1]["inputs"]
