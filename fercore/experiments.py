"""One network on one protocol with one seed: what every notebook that trains does, step by step.

    experiment = experiments.read("cnn", protocol="official")
    model = experiments.build(experiment)
    parts = experiments.examples(experiment)
    history = experiments.fit(experiment, model, parts)
    predictions = experiments.save(experiment, model, parts, history)
"""
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from fercore import datasets, parameters, paths, preprocessing, protocols, recipes, runs, training
from fercore.faces import Faces
from fercore.recipes import Recipe

UNMOVED = {"rotation": 0, "shift": 0, "zoom": 0, "flip": False, "erasing": 0}


@dataclass(frozen=True)
class Experiment:
    """What is trained on what. `settings` is the network's file; `record` the code and machine at the start."""

    network: str
    protocol: str
    seed: int
    profile: str
    subset: int | None
    settings: dict
    recipe: Recipe
    faces: Faces
    split: protocols.Split
    record: dict

    @property
    def folder(self) -> Path:
        """Where the run writes to."""
        return paths.outputs(self.profile)

    @property
    def figures(self) -> Path:
        """Where the figures of this training go."""
        name = f"{self.settings['notebook']}.{self.protocol}.{self.network}.seed{self.seed}"
        return self.folder / "figures" / name

    @property
    def sizes(self) -> str:
        """Data, protocol and number of faces in words."""
        counts = ", ".join(f"{len(part):,} {name}" for name, part in self.split.parts().items())
        return f"Data: **{self.faces.origin}**, protocol `{self.protocol}`: {counts}."


@dataclass(frozen=True)
class Parts:
    """The examples of the three parts of a split."""

    train: training.Examples
    validation: training.Examples
    test: training.Examples


def read(
    network: str, *, protocol: str, seed: int = 0, profile: str = "interactive", data: str | None = None,
    subset: int | None = None, augment: bool = True, recipe: str | None = None, **changes,
) -> Experiment:
    """Read a network's file, its recipe and its faces.

    `subset`: faces of each usage, None for all; `augment` False trains on unmoved faces; `recipe`, a name or a file as
    `recipes.read` takes it, stands in for the network's own; `changes` that are not None replace its values.
    Raises `ParameterError`, `RecipeError` or `DatasetError`.
    """
    settings = parameters.network(network)
    if not augment:
        changes |= UNMOVED
    name = recipe or settings["recipe"]
    settings["recipe"] = Path(name).stem
    followed = recipes.read(name, **changes)
    record = runs.provenance()  # of the code that is about to train
    faces, split = protocols.prepare(datasets.subset(datasets.load(data), subset), protocol)
    return Experiment(network, protocol, seed, profile, subset, settings, followed, faces, split, record)


def build(experiment: Experiment, model_file: str | None = None) -> keras.Model:
    """The network, untrained, or the trained one in `model_file` or in the `model` of its settings."""
    settings, classes = experiment.settings, len(experiment.faces.class_names)
    file = model_file or settings.get("model")
    if file is not None:
        return training.load_model(file, classes)
    return training.build(settings["base"], experiment.recipe, experiment.seed, classes=classes,
                          **settings["parameters"])


def examples(experiment: Experiment, **descriptor_parameters: dict) -> Parts:
    """Images, labels and descriptors of the three parts. `descriptor_parameters`: name -> those of its `compute`."""
    everything = training.examples(experiment.faces, experiment.split.train, experiment.settings["inputs"],
                                   experiment.recipe, **descriptor_parameters)
    return Parts(*(everything.select(part) for part in experiment.split.parts().values()))


def moved(experiment: Experiment, images: np.ndarray) -> np.ndarray:
    """Images uint8 [n, h, w] as an epoch of training moves them."""
    recipe = experiment.recipe
    how = preprocessing.Augmentation(recipe.rotation, recipe.shift, recipe.zoom, recipe.flip, recipe.erasing)
    return preprocessing.augment(images, np.random.default_rng(experiment.seed), how)[0]


def fit(experiment: Experiment, model: keras.Model, parts: Parts) -> pd.DataFrame:
    """Train, with a checkpoint each epoch; save history and model. Returns the history, a row an epoch."""
    key = experiment.protocol, experiment.network, experiment.seed
    checkpoint = experiment.folder / "checkpoints" / key[0] / key[1] / f"seed{key[2]}"
    history = training.fit(model, parts.train, parts.validation, experiment.recipe, seed=experiment.seed,
                           checkpoint=checkpoint)
    runs.write_atomically(runs.history_path(experiment.folder, *key), history.to_csv(index=False))
    training.save_model(model, runs.model_path(experiment.folder, *key))
    return history


def save(
    experiment: Experiment, model: keras.Model, parts: Parts, history: pd.DataFrame | None
) -> runs.Predictions:
    """Save the probabilities of validation and test faces with their record. `history` None: the model was loaded."""
    faces, split = experiment.faces, experiment.split
    row_ids = faces.row_ids[np.concatenate([split.validation, split.test])]
    predictions = training.predictions(model, parts.validation, parts.test, row_ids, experiment.recipe)
    learnt = training.record(model, history, experiment.recipe, len(parts.train))
    write(experiment, predictions, learnt)
    return predictions


def write(experiment: Experiment, predictions: runs.Predictions, learnt: dict) -> Path:
    """Write predictions and their record: the experiment's own values and `learnt`, what is known of the training."""
    settings, faces = experiment.settings, experiment.faces
    record = experiment.record | {key: settings.get(key) for key in ("base", "recipe", "system")}
    record |= {"network": experiment.network, "protocol": experiment.protocol, "seed": experiment.seed}
    record |= {"data": {"origin": faces.origin, "fingerprint": faces.fingerprint, "n": len(faces),
                        "subset": experiment.subset}}
    key = experiment.protocol, experiment.network, experiment.seed
    return runs.save_predictions(experiment.folder, *key, predictions, record | learnt)
