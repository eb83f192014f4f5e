"""One network on one split with one seed: what every notebook that trains does, step by step.

experiment = experiments.read("cnn", split="official")
model = experiments.build(experiment)
parts = experiments.examples(experiment)
history = experiments.fit(experiment, model, parts)
predictions = experiments.save(experiment, model, parts, history)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from fercore import artifacts, paths
from fercore.config import parameters, recipes
from fercore.config.recipes import Recipe
from fercore.data import augmentation, datasets, fer2013, splits
from fercore.data.faces import SIDE, Faces
from fercore.models import layers
from fercore.training import distillation, loading, prediction, trainer
from fercore.training.callbacks import forget
from fercore.training.loading import TrainingError


@dataclass(frozen=True)
class Experiment:
    """What is trained on what. `settings` is the network's file, `record` code and machine at the
    start, `tuning` the recipe of a second stage, `votes` soft labels of `faces`, float32 [n, c]."""

    network: str
    split: str
    seed: int
    profile: str
    subset: int | None
    settings: dict
    recipe: Recipe
    faces: Faces
    partition: splits.Partition
    record: dict
    tuning: Recipe | None = None
    votes: np.ndarray | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        """What a run's files are named by."""
        return self.split, self.network, self.seed

    @property
    def folder(self) -> Path:
        """Where the run writes to."""
        return paths.outputs(self.profile)

    @property
    def figures(self) -> Path:
        """Where the figures of this training go."""
        name = f"{self.settings['notebook']}.{self.split}.{self.network}.seed{self.seed}"
        return self.folder / "figures" / name

    @property
    def views(self) -> int:
        """Views of a face that are averaged; by default the face and its mirror image."""
        return self.settings.get("views", 2)

    @property
    def sizes(self) -> str:
        """Data, split and number of faces in words."""
        counts = ", ".join(f"{len(part):,} {name}" for name, part in self.partition.parts().items())
        return f"Data: **{self.faces.origin}**, split `{self.split}`: {counts}."


@dataclass(frozen=True)
class Parts:
    """The examples of a split; `copies` of the training faces that are augmented already."""

    train: prediction.Examples
    validation: prediction.Examples
    test: prediction.Examples
    copies: Sequence[prediction.Examples] = ()


def read(
    network: str,
    *,
    split: str,
    seed: int = 0,
    profile: str = "interactive",
    data: str | None = None,
    subset: int | None = None,
    augment: bool = True,
    recipe: str | None = None,
    settings: dict | None = None,
    **changes,
) -> Experiment:
    """Read a network's file, its recipe and its faces.

    `subset`: faces of each usage, None for all; `augment` False trains on unaugmented faces;
    `recipe`, as `recipes.read` takes it, and `settings` stand in for those of the network's file;
    `changes` that are not None replace the recipe's values, and all but the learning rate those of
    fine-tuning. Without `epochs`, those of a split that learns from a share of the faces are the
    recipe's divided by its square root. Raises `ParameterError` or `DatasetError`.
    """
    settings = parameters.network(network) | (settings or {})
    if not augment:
        changes |= recipes.UNAUGMENTED
    name = recipe or settings["recipe"]
    settings["recipe"] = Path(name).stem
    followed = recipes.read(name, **changes)
    record = artifacts.provenance()  # of the code that is about to train
    everybody = datasets.subset(datasets.load(data), subset)
    faces, partition = splits.prepare(everybody, split)
    if changes.get("epochs") is None:
        epochs = round(followed.epochs / splits.SPLITS[split].share ** 0.5)
        followed = replace(followed, epochs=epochs)
    second = settings.get("fine_tuning")
    tuning = second and recipes.read(second["recipe"], **changes | {"learning_rate": None})
    voted = settings.get("soft_labels") == "ferplus"
    votes = fer2013.vote_shares(everybody, faces) if voted else None
    chosen = network, split, seed, profile, subset, settings
    return Experiment(*chosen, followed, faces, partition, record, tuning, votes)


def build(experiment: Experiment, model_file: str | None = None, **changes) -> keras.Model:
    """The network, untrained, or the trained one in `model_file` or in the `model` of its settings,
    a .keras file from the project's folder unless absolute.

    `changes` replace the builder's parameters; `class_names` in the settings are those of a trained
    model. Raises `TrainingError` for a model that does not fit the faces.
    """
    settings, names = experiment.settings, experiment.faces.class_names
    if file := model_file or settings.get("model"):
        how = {"inputs": settings["inputs"], "side": experiment.recipe.crop or SIDE}
        return loading.load(paths.ROOT / file, settings.get("class_names"), wanted=names, **how)
    given = {"classes": len(names)} | settings.get("parameters", {}) | changes
    return trainer.build(settings["base"], experiment.recipe, experiment.seed, **given)


def examples(experiment: Experiment, **descriptor_parameters: dict) -> Parts:
    """Images, labels and descriptors of the three parts, and soft targets of training faces where
    the settings name some. `descriptor_parameters` by name, as `descriptors.load` takes them."""
    faces, settings, recipe = experiment.faces, experiment.settings, experiment.recipe
    learnt, names = experiment.partition.train, settings["inputs"]
    everything = prediction.examples(faces, learnt, names, recipe, **descriptor_parameters)
    train, validation, test = map(everything.select, experiment.partition.parts().values())
    if settings.get("teachers") and recipe.copies:
        return Parts(train, validation, test, distillation.copies(experiment, train))
    soft = None if experiment.votes is None else experiment.votes[learnt]
    if settings.get("teachers"):
        soft = distillation.soft_labels(experiment)
    return Parts(replace(train, soft_labels=soft), validation, test)


def augmented(experiment: Experiment, images: np.ndarray) -> np.ndarray:
    """Images uint8 [n, h, w] as an epoch of training augments them."""
    how = augmentation.augmentation(experiment.recipe)
    return augmentation.augment(images, np.random.default_rng(experiment.seed), how)[0]


def fit(
    experiment: Experiment,
    model: keras.Model,
    parts: Parts,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame | None:
    """Train, with a checkpoint each epoch; save history and model, then drop the checkpoint.

    Returns the history as `trainer.fit` does; None where the settings name a trained model, which
    stays as it is. Where the run has the model of just this training, it is read.
    """
    if "model" in experiment.settings:
        return None
    recipe, seed, data = experiment.recipe, experiment.seed, (parts.train, parts.validation)
    if first := experiment.settings.get("starts_from"):
        of = experiment.folder, experiment.split, first, seed
        start = loading.trained(*of, experiment.faces.class_names)
        if [w.shape for w in start.weights] != [w.shape for w in model.weights]:
            raise TrainingError(f"{model.name}: has other layers than {first}, its start")
        model.set_weights(start.get_weights())
    key = trainer.key(model, recipe, seed, *data, parts.copies)
    file = artifacts.model_path(experiment.folder, *experiment.key)
    if not experiment.tuning and (done := loading.training_of(file)).get("key") == key:
        names, inputs = experiment.faces.class_names, experiment.settings["inputs"]
        model.set_weights(loading.load(file, names, inputs=inputs).get_weights())
        return pd.DataFrame(done["history"])
    checkpoint = _checkpoint(experiment)
    how: dict[str, Any] = {"checkpoint": checkpoint, "callbacks": callbacks}
    history = trainer.fit(model, *data, recipe, seed=seed, copies=parts.copies, **how)
    _keep(experiment, model, history, {"key": key, "history": history.to_dict("records")})
    if not experiment.tuning:  # whose second stage begins where the first one ended
        forget(checkpoint)
    return history


def fine_tune(
    experiment: Experiment,
    model: keras.Model,
    parts: Parts,
    history: pd.DataFrame,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Go on after `fit`, with the layers from `fine_tuning`'s `trainable_from` on, by its recipe,
    to the best epoch of both on validation. Returns the history of both, column `stage` 1 and 2."""
    if experiment.tuning is None:
        raise TrainingError(f"{experiment.network}: its file has no fine_tuning")
    frozen, learning = model.get_weights(), [layer.trainable for layer in model.layers]
    seed, data = experiment.seed, (parts.train, parts.validation)
    first = trainer.key(model, experiment.recipe, seed, *data)  # what this stage follows on
    checkpoint = _checkpoint(experiment, f"_tuned_{first[:8]}")
    layers.unfreeze_from(model, experiment.settings["fine_tuning"]["trainable_from"])
    how: dict[str, Any] = {"checkpoint": checkpoint, "callbacks": callbacks}
    try:
        tuned = trainer.fit(model, *data, experiment.tuning, seed=seed, **how)
    finally:  # so that a cell run again finds the first stage as it was
        for layer, learns in zip(model.layers, learning, strict=True):
            layer.trainable = learns
    tuned = tuned.assign(stage=2, epoch=tuned.epoch + len(history))
    history = pd.concat([history.assign(stage=1), tuned], ignore_index=True)
    if artifacts.best_epoch(history).stage == 1:
        model.set_weights(frozen)
    _keep(experiment, model, history)
    for folder in (checkpoint, _checkpoint(experiment)):
        forget(folder)
    return history


def save(
    experiment: Experiment, model: keras.Model, parts: Parts, history: pd.DataFrame | None
) -> artifacts.Predictions:
    """Save the `predictions` with their record. `history` None: the model was loaded."""
    settings, faces = experiment.settings, experiment.faces
    record = experiment.record | {key: settings.get(key) for key in ("base", "recipe", "system")}
    record |= {key: getattr(experiment, key) for key in ("network", "split", "seed")}
    learnt_from = ("teachers", "teacher_seeds", "starts_from")
    record |= {key: one for key, one in settings.items() if key in learnt_from}
    data = {"origin": faces.origin, "fingerprint": faces.fingerprint, "n": len(faces)}
    found, how = predictions(experiment, model, parts)
    record |= {"data": data | {"subset": experiment.subset}} | how
    record |= trainer.record(model, history, experiment.recipe, len(parts.train))
    if experiment.tuning and history is not None:
        tuned = {"recipe_parameters": vars(experiment.tuning)}
        record["fine_tuning"] = settings["fine_tuning"] | tuned
    artifacts.save_predictions(experiment.folder, *experiment.key, found, record)
    return found


def predictions(
    experiment: Experiment, model: keras.Model, parts: Parts
) -> tuple[artifacts.Predictions, dict]:
    """Probabilities of validation and test faces, plain and averaged over the experiment's views,
    and for the record how they were made. Raises `TrainingError` as `loading.distributions`."""
    shown, recipe = (parts.validation, parts.test), experiment.recipe
    by_view = [
        np.concatenate([prediction.predict(model, part, recipe, view) for part in shown])
        for view in augmentation.views(experiment.views)
    ]
    plain = loading.distributions(by_view[0], model.name)
    averaged = loading.distributions(np.mean(by_view, axis=0), model.name)
    part = np.repeat([artifacts.VALIDATION, artifacts.TEST], [len(one) for one in shown])
    chosen = np.concatenate([experiment.partition.validation, experiment.partition.test])
    found = artifacts.Predictions(experiment.faces.row_ids[chosen], part, plain, averaged)
    return found, {"views": experiment.views, "outputs_divided_by_sum": plain is not by_view[0]}


def _checkpoint(experiment: Experiment, ending: str = "") -> Path:
    folder = experiment.folder / "checkpoints" / experiment.split / experiment.network
    return folder / f"seed{experiment.seed}{ending}"


def _keep(
    experiment: Experiment, model: keras.Model, history: pd.DataFrame, training: dict | None = None
) -> None:
    file = artifacts.history_path(experiment.folder, *experiment.key)
    artifacts.write_atomically(file, history.to_csv(index=False, float_format="%.6g"))
    training = {"class_names": list(experiment.faces.class_names)} | (training or {})
    loading.save(model, artifacts.model_path(experiment.folder, *experiment.key), training)
