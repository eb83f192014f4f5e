"""The search of notebook 23: stopped and gone on with, trials given up early, conditions kept."""

from types import SimpleNamespace

import pandas as pd
import pytest

from fercore import paths
from fercore.config import reading, recipes
from fercore.training import experiments, trainer

NOTEBOOK = "23_hyperparameter_search"
FACES = SimpleNamespace(fingerprint="f")


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """Executes the notebook up to its table, with trainings of no network: the lower the dropout,
    the better; returns the names it leaves. `stop` interrupts that training."""
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    followed = []

    def read(network, *, split, seed, profile, data, subset, recipe, epochs, batch_size):
        chosen = network, split, seed, profile, subset, {}
        followed_recipe = recipes.read(recipe, epochs=epochs, batch_size=batch_size)
        record = SimpleNamespace(parts=lambda: {})
        return experiments.Experiment(*chosen, followed_recipe, FACES, record, {})

    def search(stop=None, **given):
        def fit(model, train, validation, recipe, *, seed, callbacks):
            followed.append(recipe)
            if len(followed) == stop:
                raise KeyboardInterrupt
            rows = [
                {"epoch": epoch, "val_accuracy": (1 - recipe.dropout) * epoch / 3}
                for epoch in (1, 2, 3)
            ]
            for row in rows:
                for callback in callbacks:
                    callback.on_epoch_end(row["epoch"] - 1, row)
            return pd.DataFrame(rows)

        monkeypatch.setattr(trainer, "fit", fit)
        names = {"display": lambda *shown: None}
        for cell in reading.cells(NOTEBOOK):
            if cell["cell_type"] == "code" and cell["id"] not in (
                "answer",
                "answer-shown",
                "ten-best",
            ):
                exec("".join(cell["source"]), names)
            if cell["id"] == "answer":
                exec("import pandas as pd\nfrom IPython.display import Markdown", names)
                exec("from fercore import paths", names)
            if "parameters" in cell["metadata"].get("tags", []):
                names.update(profile="try", epochs=3, batch_size=None, **given)
            if cell["id"] == "cell-10":
                return names["found"]

    monkeypatch.setattr(experiments, "read", read)
    monkeypatch.setattr(
        experiments, "examples", lambda experiment: SimpleNamespace(train=0, validation=0)
    )
    monkeypatch.setattr(experiments, "build", lambda experiment: None)
    monkeypatch.setattr(experiments.Experiment, "sizes", "")
    return search


def test_a_search_that_was_interrupted_goes_on_with_its_numbers(searched):
    with pytest.raises(KeyboardInterrupt):
        searched(stop=3, trials=4)
    table = searched(trials=4)
    assert list(table.number) == [0, 1, 2, 3, 4]
    assert list(table.state).index("fail") == 2 and (table.state != "fail").sum() == 4
    assert table.learning_rate.nunique() == 5  # what was drawn before is not drawn again
    assert len(searched(trials=4)) == 5  # nothing left to do


def test_trials_that_fall_behind_are_given_up(searched):
    table = searched(trials=14, seed=1)
    given_up, full = table[table.state == "pruned"], table[table.state == "complete"]
    assert len(given_up) and (given_up.epochs < 3).all() and (full.epochs == 3).all()
    assert given_up.dropout.mean() > full.dropout.mean()
    assert full.value.tolist() == pytest.approx((1 - full.dropout).tolist())


def test_a_search_goes_on_under_its_own_conditions_only(searched):
    searched(trials=1)
    with pytest.raises(AssertionError, match=r"was begun otherwise \(subset 60 then, 50 now\)"):
        searched(trials=2, subset=50)
    assert len(searched(trials=1, space="one_cycle")) == 1  # another name
    with pytest.raises(AssertionError, match="space 'e' is not one of system_e, one_cycle"):
        searched(space="e")
