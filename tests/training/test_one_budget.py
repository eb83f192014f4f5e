"""All networks by one recipe: rows kept, faces whole for all, means beside each network's own
recipe."""

import numpy as np
import pandas as pd
import pytest

from fercore.config.parameters import ParameterError
from fercore.training import experiments, one_budget, trainer

SMALL = {"data": "synthetic", "subset": 14, "epochs": 1, "batch_size": 7}


def test_networks_are_trained_on_whole_faces_by_one_recipe(monkeypatch, tmp_path):
    asked = []

    def fit(model, train, validation, recipe, *, seed):
        asked.append((model.name, model.input_shape[1:], recipe))
        return fitted(model, train, validation, recipe, seed=seed)

    fitted = trainer.fit
    monkeypatch.setattr(trainer, "fit", fit)
    networks = ["five_class_cnn", "compact"]
    table = one_budget.train(networks, [0], tmp_path, **SMALL)
    assert table.network.tolist() == networks and table.n.tolist() == [14, 14]
    assert table.parameters.tolist()[0] == 1_004_805 + 2 * 65, "seven classes instead of five"
    assert [shape for _, shape, _ in asked] == [(48, 48, 1)] * 2 and asked[0][2] == asked[1][2]
    assert (table.low <= table.test).all() and (table.test <= table.high).all()
    again = one_budget.train(networks, [0], tmp_path, **SMALL)
    assert len(asked) == 2 and again.test.tolist() == table.test.tolist()
    one_budget.train(networks[:1], [0], tmp_path, **SMALL, learning_rate=0.01)
    assert len(asked) == 3 and asked[2][2].learning_rate == 0.01


def test_accuracies_are_of_the_mirrored_mean(monkeypatch, tmp_path):
    def answers(experiment, model, parts):
        labels = np.concatenate([parts.validation.labels, parts.test.labels])
        right = np.eye(7, dtype=np.float32)[labels]
        right[-7:] = right[
            -7:, [1, 2, 3, 4, 5, 6, 0]
        ]  # half of the test faces are taken for the class before
        split = np.repeat([1, 2], [len(parts.validation), len(parts.test)]).astype(np.int8)
        return experiments.artifacts.Predictions(
            np.arange(len(labels)), split, 1 - right, right
        ), {}

    monkeypatch.setattr(experiments, "answers", answers)
    row = one_budget.train(["shallow_cnn"], [0], tmp_path, **SMALL).iloc[0]
    assert (row.validation, row.test) == (100, 50)


def test_an_unknown_network_is_named_before_any_is_trained(tmp_path):
    with pytest.raises(ParameterError, match="luck"):
        one_budget.train(["shallow_cnn", "luck"], [0], tmp_path, **SMALL)
    assert not list(tmp_path.iterdir())


def test_means_over_seeds_beside_the_own_recipe():
    row = {
        "validation": 50.0,
        "low": 40.0,
        "high": 60.0,
        "train_accuracy": 45.0,
        "n": 14,
        "parameters": 10,
        "macs": 20,
        "train_seconds": 3.0,
    }
    table = pd.DataFrame(
        [
            row | {"network": name, "seed": seed, "test": test}
            for name, seed, test in (("cnn", 0, 50.0), ("cnn", 1, 52.0), ("compact", 0, 60.0))
        ]
    )
    found = one_budget.compared(
        table, pd.DataFrame({"name": ["cnn"], "accuracy": [67.0]})
    ).set_index("name")
    assert found.index.tolist() == ["compact", "cnn"] and found.system.tolist() == ["own", "A"]
    assert found.accuracy.tolist() == [60, 51] and found.seeds.tolist() == [1, 2]
    assert found["own recipe"]["cnn"] == 67 and np.isnan(found["own recipe"]["compact"])
