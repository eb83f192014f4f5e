"""What each part of the compact network and its recipe brings: short trainings that differ from one
in one thing."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fercore.data import augmentation
from fercore.training.sweeps import data_of, recipe_of, sweep

NETWORK, BASE = "compact", "as it is"
CHANNELS = [
    32,
    64,
    128,
    256,
]  # of all but one variant: with the network's own, an epoch takes twice as long


@dataclass(frozen=True)
class Variant:
    """How a training departs from the network's own: values of the recipe, parameters of the
    builder, both by name; `epochs`, how many times as many; `settings` of the network's file."""

    changes: dict = field(default_factory=dict)
    parameters: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    epochs: int = 1


VARIANTS = {
    BASE: Variant(),
    "twice the epochs": Variant(epochs=2),
    "faces never mirrored": Variant({"flip": False}),
    "faces not moved": Variant({"rotation": 0, "shift": 0, "zoom": 0}),
    "whole faces, no crop": Variant({"crop": None}, {"input_shape": [48, 48, 1]}),
    "parts erased": Variant({"erasing": 0.35}),
    "faces mixed": Variant({"mixup": 0.2}),
    "small faces first": Variant({"small_side": 24}),
    "light as it is": Variant({"normalisation": "unit"}),
    "labels not smoothed": Variant({"label_smoothing": 0}),
    "votes of FER+": Variant({"soft_share": 1}, settings={"soft_labels": "ferplus"}),
    "constant rate of a fifth": Variant({"schedule": "constant", "learning_rate": 0.02}),
    "no weight decay": Variant({"weight_decay": 0}),
    "weights averaged": Variant({"ema_momentum": 0.99}),
    "wider late, narrower early": Variant(parameters={"filters": [24, 64, 160, 320]}),
    "squeeze and excitation": Variant(parameters={"squeeze": 8}),
}


def ablate(
    names: Iterable[str], seeds: Iterable[int], folder: Path, **chosen: str | int | None
) -> pd.DataFrame:
    """Train the network in each of the variants `names` of `VARIANTS` with each seed, for few
    epochs.

    A row a training: variant, seed, faces (which data), recipe (as `sweeps.recipe_of` has it),
    accuracy and mirrored (accuracies on validation faces in %, of the best epoch, from one view and
    from a face and its mirror image), train_accuracy (% on the faces as moved, in the last epoch),
    seconds. Rows are kept in a file of `folder`, as `sweeps.sweep` does. `chosen`: split,
    epochs, and what else `experiments.read` takes. Raises `ValueError` for an unknown variant.
    """
    from fercore.training import (
        experiments,
    )  # here, as a notebook that only reports does without Keras

    names = list(names)
    if unknown := set(names) - VARIANTS.keys():
        raise ValueError(
            f"variant {', '.join(sorted(unknown))} is unknown; there are {', '.join(VARIANTS)}"
        )

    def train(variant: str, seed: int, **_) -> dict:
        return _train(VARIANTS[variant], seed, **chosen)

    base = experiments.read(NETWORK, **chosen)
    faces, values = (
        data_of(base.faces),
        (dataclasses.asdict(base.recipe), base.settings["parameters"], CHANNELS),
    )
    recipes = {
        name: recipe_of(base.settings["recipe"], *values, dataclasses.asdict(VARIANTS[name]))
        for name in names
    }
    wanted = [
        {"variant": name, "seed": seed, "faces": faces, "recipe": recipes[name]}
        for seed in seeds
        for name in names
    ]
    return sweep(path(folder, **chosen), wanted, train, "variants")


def path(folder: Path, *, split: str, epochs: int, subset: int | None = None, **_) -> Path:
    """Where the rows are kept: the name says split, faces of each split and epochs."""
    return folder / "tables" / f"ablation.{split}.{subset or 'all'}x{epochs}.csv"


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """What each variant changes against `BASE` with the same seed, in points: variant, seeds,
    accuracy (mean, %), change (mean), deviation (between seeds; NaN for one), train_accuracy,
    seconds (means); the greatest gain first."""
    base = table[table.variant == BASE].set_index("seed").mirrored
    compared = table.assign(change=table.mirrored - table.seed.map(base))
    means = compared.groupby("variant", as_index=False).agg(
        seeds=("seed", "count"),
        accuracy=("mirrored", "mean"),
        change=("change", "mean"),
        deviation=("change", "std"),
        train_accuracy=("train_accuracy", "mean"),
        seconds=("seconds", "mean"),
    )
    return means.sort_values("change", ascending=False, ignore_index=True)


def _train(variant: Variant, seed: int, *, epochs: int, **chosen) -> dict:
    import keras  # here, as a notebook that only reports does without Keras

    from fercore.training import experiments, prediction, trainer

    experiment = experiments.read(
        NETWORK, seed=seed, epochs=variant.epochs * epochs, settings=variant.settings, **chosen
    )
    recipe = dataclasses.replace(experiment.recipe, **variant.changes)
    experiment = dataclasses.replace(experiment, recipe=recipe)
    parts = experiments.examples(experiment)
    model = experiments.build(experiment, **{"filters": CHANNELS} | variant.parameters)
    history = trainer.fit(model, parts.train, parts.validation, recipe, seed=seed)
    views = [
        prediction.predict(model, parts.validation, recipe, view) for view in augmentation.views(2)
    ]
    keras.utils.clear_session()
    right = [
        np.mean(said.argmax(1) == parts.validation.labels)
        for said in (views[0], np.mean(views, axis=0))
    ]
    return {
        "accuracy": round(100 * right[0], 4),
        "mirrored": round(100 * right[1], 4),
        "train_accuracy": round(100 * history.accuracy.iloc[-1], 4),
        "seconds": round(history.seconds.sum(), 1),
    }
