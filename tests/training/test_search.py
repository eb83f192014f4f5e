"""Searches: stopped and gone on with, given up early, written as a recipe that is read again."""

from types import SimpleNamespace

import pandas as pd
import pytest

from fercore import artifacts
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
CONDITIONS = {"network": "model_a", "epochs": 3}


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


def opened(tmp_path, conditions=CONDITIONS, **options):
    storage = f"sqlite:///{tmp_path}/search/s.db"
    return search.open_study("s", storage=storage, conditions=conditions, epochs=3, **options)


def gone_on(study, trials):
    experiment = experiments.Experiment(
        "model_a", "official_five", 0, "p", None, {}, recipes.read(SPACE.recipe), None, None, {}
    )
    search.run(
        study, experiment, SimpleNamespace(train=None, validation=None), SPACE, trials=trials
    )
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


def test_the_best_trial_is_a_recipe_that_training_takes(tmp_path, made_up_training):
    base = recipes.read(SPACE.recipe)
    trials = gone_on(opened(tmp_path), 5)
    with pytest.raises(SearchError, match="search 'best': no trial ran to its end yet"):
        search.save_best(trials.head(0), SPACE, base, tmp_path, "best")
    path = search.save_best(trials, SPACE, base, tmp_path, "best")
    read = recipes.read(str(path))
    found = search.best(trials, "best")
    assert (read.dropout, read.learning_rate) == (found.dropout, found.learning_rate)
    assert read.dropout == min(recipe.dropout for recipe in made_up_training)
    assert (read.decay, read.optimizer) == (base.decay, "momentum")
    experiment = experiments.read(
        "model_a", split="official_five", data="synthetic", subset=10, recipe=str(path)
    )
    assert experiment.recipe == read and experiment.settings["recipe"] == "best"


def test_trials_that_fall_behind_are_given_up(tmp_path, made_up_training):
    table = gone_on(opened(tmp_path, seed=1), 14)
    given_up, full = table[table.state == "pruned"], table[table.state == "complete"]
    assert len(given_up) and (given_up.epochs < 3).all() and (full.epochs == 3).all()
    assert given_up.dropout.mean() > full.dropout.mean()
    shares = search.importances(table, SPACE)
    assert shares.index[0] == "dropout" and shares.sum() == pytest.approx(1)
    assert search.importances(full.head(3), SPACE).empty


def test_a_table_of_trials_says_the_same_once_it_is_written(tmp_path, made_up_training):
    file, table = search.path(tmp_path, "s"), gone_on(opened(tmp_path), 8)
    with pytest.raises(
        SearchError, match=r"search\.s\.csv: no such search; set `stored` to false to begin it"
    ):
        search.read_table(file)
    artifacts.write_atomically(file, table.to_csv(index=False))
    read = search.read_table(file)
    assert search.best(read, "s").dropout == table.dropout.min()
    assert search.importances(read, SPACE).equals(search.importances(table, SPACE))


def test_a_search_goes_on_under_its_own_conditions_only(tmp_path):
    opened(tmp_path)
    with pytest.raises(
        SearchError, match=r"search 's' was begun otherwise \(epochs 3 then, 5 now\)"
    ):
        opened(tmp_path, CONDITIONS | {"epochs": 5})


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
    assert search.place("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "s.db").write_text("no database" * 100)
    with pytest.raises(SearchError, match=r"s.db: cannot be opened"):
        opened(tmp_path)
    with pytest.raises(SearchError, match="pruner 'best' is none of median, hyperband, none"):
        opened(tmp_path / "other", pruner="best")
