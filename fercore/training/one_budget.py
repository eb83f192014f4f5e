"""All networks by one recipe for as many epochs: what each makes of the same budget."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fercore import artifacts
from fercore.config import parameters
from fercore.data import datasets
from fercore.data.faces import SIDE
from fercore.evaluation import metrics, scoring
from fercore.training.sweeps import data_of, recipe_of, sweep

SPLIT, RECIPE = "official", "one_budget"
VIEWS = 2  # averaged: the face and its mirror image


def train(
    networks: Iterable[str], seeds: Iterable[int], folder: Path, **chosen: str | int | None
) -> pd.DataFrame:
    """Train each of `networks`, by the names of `params/networks/`, with each seed by the recipe
    `one_budget`.

    A row a training: network, seed, faces (which data), recipe (as `sweeps.recipe_of` has it),
    validation and test (accuracies in %, of the best epoch on validation faces, a face and its
    mirror image averaged), low and high (95 % of test), train_accuracy (% on the faces as moved, in
    the last epoch), n (test faces), parameters, macs, train_seconds, hardware. Rows are kept in a
    file of `folder`, as `sweeps.sweep` does. `chosen`: epochs, subset and what else
    `experiments.read` takes. Raises `ParameterError` for an unknown network.
    """
    networks = list(networks)
    for name in networks:
        parameters.network(name)

    def trained(network: str, seed: int, **_) -> dict:
        return _train(network, seed, **chosen)

    faces, recipes = (
        data_of(datasets.load(chosen.get("data"))),
        {name: _recipe(name, **chosen) for name in networks},
    )
    wanted = [
        {"network": name, "seed": seed, "faces": faces, "recipe": recipes[name]}
        for seed in seeds
        for name in networks
    ]
    return sweep(path(folder, **chosen), wanted, trained, "networks")


def path(folder: Path, *, epochs: int, subset: int | None = None, **_) -> Path:
    """Where the rows are kept: the name says faces of each split and epochs."""
    return folder / "tables" / f"one_budget.{SPLIT}.{subset or 'all'}x{epochs}.csv"


def compared(table: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, most accurate first: name, system, seeds, accuracy, low, high (test, %),
    `own recipe` (accuracy in % of the same network by the recipe chosen for it, from `own`, a table
    as of `tables.compared`; NaN where it was not run), validation, train_accuracy, parameters,
    macs, train_seconds.
    """
    names = {"network": "name", "test": "accuracy"}
    known = scoring.catalogue()
    means = (
        table.rename(columns=names)
        .groupby("name", as_index=False)
        .agg(
            seeds=("seed", "count"),
            **{
                column: (column, "mean")
                for column in (
                    "accuracy",
                    "low",
                    "high",
                    "validation",
                    "train_accuracy",
                    "parameters",
                    "macs",
                    "train_seconds",
                )
            },
        )
    )
    means.insert(1, "system", [known[name].system for name in means.name])
    means.insert(
        means.columns.get_loc("validation"),
        "own recipe",
        means.name.map(own.set_index("name").accuracy),
    )
    return means.sort_values("accuracy", ascending=False, ignore_index=True)


def _read(network: str, seed: int = 0, **chosen):
    from fercore.training import (
        experiments,
    )  # here, as a notebook that only reports does without Keras

    return experiments.read(
        network, split=SPLIT, seed=seed, recipe=RECIPE, settings={"views": VIEWS}, **chosen
    )


def _recipe(network: str, **chosen) -> str:
    experiment = _read(network, **chosen)
    return recipe_of(
        RECIPE, dataclasses.asdict(experiment.recipe), experiment.settings["parameters"]
    )


def _train(network: str, seed: int, **chosen) -> dict:
    import keras

    from fercore.training import experiments, trainer

    experiment = _read(network, seed, **chosen)
    parts = experiments.examples(experiment)
    model = experiments.build(
        experiment, input_shape=(SIDE, SIDE, 1)
    )  # compact's own sees 40 pixels of them
    history = trainer.fit(model, parts.train, parts.validation, experiment.recipe, seed=seed)
    answers, _ = experiments.answers(experiment, model, parts)
    size = trainer.record(model, history, experiment.recipe, len(parts.train))
    keras.utils.clear_session()
    validation = answers.of(artifacts.VALIDATION)[1].argmax(1) == parts.validation.labels
    matrix = metrics.confusion(
        parts.test.labels,
        answers.of(artifacts.TEST)[1].argmax(1),
        len(experiment.faces.class_names),
    )
    low, high = metrics.accuracy_interval(matrix)
    percent = {
        "validation": validation.mean(),
        "test": metrics.accuracy(matrix),
        "low": low,
        "high": high,
        "train_accuracy": history.accuracy.iloc[-1],
    }
    return (
        {name: round(100 * float(value), 4) for name, value in percent.items()}
        | {"n": len(parts.test)}
        | {name: size[name] for name in ("parameters", "macs", "train_seconds")}
        | {"hardware": scoring.hardware(experiment.record | size)}
    )
