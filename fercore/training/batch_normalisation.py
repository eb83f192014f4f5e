"""What batch normalisation adds to system E's networks, and at which learning rates they learn with
it and without."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fercore import artifacts
from fercore.evaluation import metrics, scoring
from fercore.evaluation.scoring import Run
from fercore.training.sweeps import data_of, recipe_of, sweep

SPLIT = "official_five"
WITHOUT = "_nobn"  # the ending of a network without batch normalisation
FEATURES = {
    "": "pixels",
    "_landmarks": "+ landmarks",
    "_landmarks_hog": "+ landmarks + HOG",
    "_landmarks_hog_windows": "+ landmarks + HOG windows",
}
SCALED = {"landmarks": "shape", "hog": "standardised", "hog_windows": "standardised"}


@dataclass(frozen=True)
class Variant:
    """How a short training departs from the published one: initial weights of the builder, values
    of the recipe."""

    weights: str = "published"
    changes: dict = field(default_factory=dict)


VARIANTS = {
    "published": Variant(),
    "He weights": Variant(weights="he"),
    "inputs standardised": Variant(
        changes={"normalisation": "standardise", "descriptor_scaling": SCALED}
    ),
    "no momentum": Variant(changes={"momentum": 0.0}),
    "all three": Variant(
        "he", {"normalisation": "standardise", "descriptor_scaling": SCALED, "momentum": 0.0}
    ),
}


def gains(run: Run, seed: int = 0) -> pd.DataFrame:
    """Test accuracy in % of the eight pairs of networks, with batch normalisation and without,
    beside the published.

    Columns model, features, n (test faces); with, without and gain, each also with the endings _low
    and _high (95 % intervals; that of the gain from the same faces); published_with,
    published_without, published_gain. NaN where a network is not run, and for published figures on
    other data than FER2013.
    """
    rows = []
    for model in ("model_a", "model_b"):
        for ending, features in FEATURES.items():
            pair = {"with": model + ending, "without": model + ending + WITHOUT}
            scored = {which: _scored(run, name, seed) for which, name in pair.items()}
            sizes = [len(one.labels) for one in scored.values() if one is not None]
            row = {"model": model, "features": features, "n": max(sizes, default=0)}
            for which, name in pair.items():
                row |= _accuracy(which, scored[which]) | {
                    f"published_{which}": _published(run, name)
                }
            change = (np.nan, np.nan, np.nan)
            if None not in scored.values():
                change = metrics.accuracy_change(scored["without"].right, scored["with"].right)
            row |= dict(zip(("gain", "gain_low", "gain_high"), change, strict=True))
            rows.append(row | {"published_gain": row["published_with"] - row["published_without"]})
    return pd.DataFrame(rows)


def short_trainings(
    network: str,
    rates: Iterable[float],
    variants: Iterable[str],
    folder: Path,
    *,
    seed: int = 0,
    **chosen,
) -> pd.DataFrame:
    """Train a network for each variant, with batch normalisation and without, at each learning
    rate.

    A row a training: variant, normalised, learning_rate, batch_size, faces (which data), recipe (as
    `sweeps.recipe_of` has it), accuracy (validation, 0..1, after the last epoch), loss (NaN where
    the training ran out of numbers), seconds. Rows are kept in a file of `folder`, as
    `sweeps.sweep` does. `chosen`: epochs, subset, and what else `experiments.read` takes. Raises
    `ValueError` for an unknown variant.
    """
    from fercore.training import (
        experiments,
    )  # here, as a notebook that only reports does without Keras

    unknown = set(variants) - VARIANTS.keys()
    if unknown:
        raise ValueError(
            f"variant {', '.join(sorted(unknown))} is unknown; there are {', '.join(VARIANTS)}"
        )
    experiment = experiments.read(
        network, split=SPLIT, seed=seed, recipe="features_published", **chosen
    )

    def train(variant: str, normalised: bool, learning_rate: float, **_) -> dict:
        return _train(experiment, VARIANTS[variant], normalised, learning_rate)

    same = {"batch_size": experiment.recipe.batch_size, "faces": data_of(experiment.faces)}
    values = dataclasses.asdict(experiment.recipe), experiment.settings["parameters"]
    recipes = {
        name: recipe_of(experiment.settings["recipe"], *values, dataclasses.asdict(VARIANTS[name]))
        for name in variants
    }
    wanted = [
        {"variant": name, "normalised": normalised, "learning_rate": float(rate)}
        | same
        | {"recipe": recipe}
        for name, recipe in recipes.items()
        for normalised in (True, False)
        for rate in rates
    ]
    file = path(folder, network, len(experiment.partition.train), experiment.recipe.epochs, seed)
    return sweep(file, wanted, train, "learning rates")


def path(folder: Path, network: str, faces: int, epochs: int, seed: int) -> Path:
    """Where the rows of short trainings on so many training faces are kept."""
    return folder / "tables" / f"learning_rates.{network}.{faces}x{epochs}.seed{seed}.csv"


def highest_rate(table: pd.DataFrame, chance: float, margin: float = 0.03) -> pd.DataFrame:
    """The highest learning rate at which accuracy is more than `margin` above `chance`, by variant,
    with batch normalisation and without; NaN where there is none."""
    learnt = table[(table.accuracy > chance + margin) & table.loss.notna()]
    rates = learnt.groupby(["variant", "normalised"]).learning_rate.max()
    frame = rates.unstack("normalised").reindex(index=table.variant.unique(), columns=[True, False])
    return frame.set_axis(["with", "without"], axis=1)


def _train(experiment, variant: Variant, normalised: bool, learning_rate: float) -> dict:
    import keras

    from fercore.training import experiments, trainer

    recipe = dataclasses.replace(experiment.recipe, learning_rate=learning_rate, **variant.changes)
    parts = experiments.examples(dataclasses.replace(experiment, recipe=recipe))
    parameters = experiment.settings["parameters"] | {
        "normalised": normalised,
        "weights": variant.weights,
    }
    model = trainer.build(
        experiment.settings["base"],
        recipe,
        experiment.seed,
        classes=len(experiment.faces.class_names),
        **parameters,
    )
    history = trainer.fit(model, parts.train, parts.validation, recipe, seed=experiment.seed)
    keras.utils.clear_session()
    last = history.iloc[-1]
    return {
        "accuracy": round(last.val_accuracy, 4),
        "loss": last.val_loss,
        "seconds": round(history.seconds.sum(), 1),
    }


def _scored(run: Run, name: str, seed: int) -> scoring.Scored | None:
    there = (SPLIT, name, seed) in artifacts.list_predictions(run.folder)
    return scoring.score(run, SPLIT, name, seed, tta=False) if there else None


def _accuracy(which: str, scored: scoring.Scored | None) -> dict:
    values = scoring.results_row(scored) if scored else {}
    return {f"{which}{end}": values.get(f"accuracy{end}", np.nan) for end in ("", "_low", "_high")}


def _published(run: Run, name: str) -> float:
    entry = scoring.catalogue().get(name)
    if entry is None or not run.faces.is_fer2013:
        return np.nan
    return entry.published.get(SPLIT, {}).get("test", np.nan)
