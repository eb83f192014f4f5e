"""Searches: stopped and gone on with, trials given up early, a recipe made of one read again."""

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from fercore.config import parameters, recipes
from fercore.config.parameters import Range, Search
from fercore.training import experiments, search, trainer
from fercore.training.search import SearchError

SPACE = Search(
    recipe="features_published",
    ranges={
        "learning_rate": Range(low=1e-5, high=0.1, log=True),
        "dropout": Range(low=0.01, high=0.3),
    },
)
FACES = SimpleNamespace(fingerprint="f")
RECIPE = recipes.read(SPACE.recipe)
EXPERIMENT = experiments.Experiment(
    "model_a", "official_five", 0, "p", None, {}, RECIPE, FACES, None, {}
)


@pytest.fixture
def made_up_training(monkeypatch):
    """Trainings of no network: the lower the dropout, the better; returns the recipes that were
    followed."""
    followed = []

    def fit(model, train, validation, recipe, *, seed, callbacks):
        followed.append(recipe)
        rows = [
            {"epoch": epoch, "val_accuracy": (1 - recipe.dropout) * epoch / 3}
            for epoch in (1, 2, 3)
        ]
        for row in rows:
            for callback in callbacks:
                callback.on_epoch_end(row["epoch"] - 1, row)
        return pd.DataFrame(rows)

    monkeypatch.setattr(trainer, "fit", fit)
    monkeypatch.setattr(experiments, "build", lambda experiment: None)
    return followed


def opened(tmp_path, experiment=EXPERIMENT, **options):
    storage = f"sqlite:///{tmp_path}/search/s.db"
    return search.open_study("s", experiment, SPACE, storage=storage, **options)


def gone_on(study, trials):
    parts = SimpleNamespace(train=None, validation=None)
    search.run(study, EXPERIMENT, parts, SPACE, trials=trials)
    return search.table(study)


def test_a_search_that_was_interrupted_goes_on_with_its_numbers(
    tmp_path, made_up_training, monkeypatch
):
    fit = trainer.fit

    def interrupted(*arguments, **options):
        if len(made_up_training) == 2:
            raise KeyboardInterrupt
        return fit(*arguments, **options)

    monkeypatch.setattr(trainer, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gone_on(opened(tmp_path), 4)
    monkeypatch.setattr(trainer, "fit", fit)
    table = gone_on(opened(tmp_path), 4)
    assert list(table.number) == [0, 1, 2, 3, 4]
    assert list(table.state).index("fail") == 2 and (table.state != "fail").sum() == 4
    assert table.learning_rate.nunique() == 5  # what was drawn before is not drawn again
    assert len(gone_on(opened(tmp_path), 4)) == 5  # nothing left to do


def test_a_trial_is_a_recipe_that_training_takes(tmp_path, made_up_training):
    trials = gone_on(opened(tmp_path), 3)
    followed = made_up_training[1]
    path = recipes.write(followed, tmp_path / "best.yaml", comment="Trial 1.")
    read = recipes.read(str(path))
    assert read == replace(RECIPE, **{key: float(trials[key][1]) for key in SPACE.ranges})
    experiment = experiments.read(
        "model_a", split="official_five", data="synthetic", subset=10, recipe=str(path)
    )
    assert experiment.recipe == read and experiment.settings["recipe"] == "best"


def test_trials_that_fall_behind_are_given_up(tmp_path, made_up_training):
    table = gone_on(opened(tmp_path, seed=1), 14)
    given_up, full = table[table.state == "pruned"], table[table.state == "complete"]
    assert len(given_up) and (given_up.epochs < 3).all() and (full.epochs == 3).all()
    assert given_up.dropout.mean() > full.dropout.mean()
    assert full.value.tolist() == pytest.approx((1 - full.dropout).tolist())


def test_a_search_goes_on_under_its_own_conditions_only(tmp_path):
    opened(tmp_path)
    longer = replace(RECIPE, epochs=RECIPE.epochs + 5, learning_rate=0.01)  # a rate is searched
    with pytest.raises(
        SearchError, match=r"search 's' was begun otherwise \(epochs \d+ then, \d+ now\)"
    ):
        opened(tmp_path, replace(EXPERIMENT, recipe=longer))


def test_spaces_are_read_and_checked():
    space = parameters.search("system_e")
    assert space.ranges["learning_rate"] == Range(low=1e-5, high=0.1, log=True) and space.ranges[
        "decay"
    ] == Range(low=0.5, high=0.99)
    for name in ("system_e", "one_cycle"):
        space = parameters.search(name)
        recipe = recipes.read(space.recipe)
        assert all(
            limits.low <= getattr(recipe, key) <= limits.high
            for key, limits in space.ranges.items()
        )
        assert recipe.optimizer != "adam" or "momentum" not in space.ranges


def test_bad_storages_and_pruners_are_one_line(tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "s.db").write_text("no database" * 100)
    with pytest.raises(SearchError, match=r"search 's': its storage cannot be opened \(.*database"):
        opened(tmp_path)
    with pytest.raises(SearchError, match="pruner 'best' is none of median, hyperband, none"):
        opened(tmp_path / "other", pruner="best")
