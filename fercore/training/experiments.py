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

import keras
import numpy as np
import pandas as pd

from fercore import artifacts, paths
from fercore.config import parameters, recipes
from fercore.config.recipes import Recipe
from fercore.data import augmentation, datasets, fer2013, splits
from fercore.data.faces import SIDE, Faces
from fercore.evaluation import metrics
from fercore.models import blocks
from fercore.training import distillation, prediction, trainer


@dataclass(frozen=True)
class Experiment:
    """What is trained on what. `settings` is the network's file; `record` the code and machine at
    the start; `tuning` the recipe of a second stage, where the network's file has `fine_tuning`;
    `votes` the soft labels of all `faces`, float32 [n, c], where it says `soft_labels: ferplus`."""

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
        """How many views of a face are averaged, as the network's file says; else the face and its
        mirror image."""
        return self.settings.get("views", 2)

    @property
    def sizes(self) -> str:
        """Data, split and number of faces in words."""
        counts = ", ".join(f"{len(part):,} {name}" for name, part in self.partition.parts().items())
        return f"Data: **{self.faces.origin}**, split `{self.split}`: {counts}."


@dataclass(frozen=True)
class Parts:
    """The examples of the three parts of a split; `copies` of the training faces that are moved
    already, if any."""

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

    `subset`: faces of each usage, None for all; `augment` False trains on unmoved faces; `recipe`,
    a name or a file as `recipes.read` takes it, stands in for the network's own; `settings` replace
    those of the network's file; `changes` that are not None replace the recipe's values, and all
    but the learning rate those of fine-tuning. Where a split learns from a share of the faces
    and `epochs` are not given, the recipe's are divided by its square root: between as many epochs
    and as many steps as with all faces. Raises `ParameterError`, `RecipeError` or `DatasetError`.
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
        followed = replace(
            followed, epochs=round(followed.epochs / splits.SPLITS[split].share ** 0.5)
        )
    second = settings.get("fine_tuning")
    tuning = second and recipes.read(second["recipe"], **changes | {"learning_rate": None})
    votes = (
        fer2013.vote_shares(everybody, faces) if settings.get("soft_labels") == "ferplus" else None
    )
    return Experiment(
        network,
        split,
        seed,
        profile,
        subset,
        settings,
        followed,
        faces,
        partition,
        record,
        tuning,
        votes,
    )


def build(experiment: Experiment, model_file: str | None = None, **changes) -> keras.Model:
    """The network, untrained, or the trained one in `model_file` or in the `model` of its settings,
    a .keras file from the project's folder unless absolute.

    `changes` replace the builder's parameters. Raises `TrainingError` for a model that does not fit
    the faces.
    """
    settings, classes = experiment.settings, len(experiment.faces.class_names)
    file = model_file or (settings.get("model") and paths.ROOT / settings["model"])
    if file:
        return _fitting(trainer.load_model(file, classes), Path(file).name, experiment)
    return trainer.build(
        settings["base"],
        experiment.recipe,
        experiment.seed,
        classes=classes,
        **settings.get("parameters", {}) | changes,
    )


def examples(experiment: Experiment, **descriptor_parameters: dict) -> Parts:
    """Images, labels and descriptors of the three parts, and soft labels of training faces: of
    FER+'s voters or of teachers, where the settings name them. `descriptor_parameters`: name ->
    those of its `compute`."""
    everything = prediction.examples(
        experiment.faces,
        experiment.partition.train,
        experiment.settings["inputs"],
        experiment.recipe,
        **descriptor_parameters,
    )
    parts = Parts(*(everything.select(part) for part in experiment.partition.parts().values()))
    soft = None if experiment.votes is None else experiment.votes[experiment.partition.train]
    if teachers := experiment.settings.get("teachers"):
        seeds = experiment.settings.get("teacher_seeds", [experiment.seed])
        asked = experiment.folder, experiment.split, seeds, teachers
        if experiment.recipe.copies:
            classes = len(experiment.faces.class_names)
            parts = replace(
                parts, copies=distillation.copies(*asked, parts.train, experiment.recipe, classes)
            )
        else:
            soft = distillation.soft_labels(*asked, experiment.faces, experiment.partition)
    return replace(parts, train=replace(parts.train, soft_labels=soft))


def moved(experiment: Experiment, images: np.ndarray) -> np.ndarray:
    """Images uint8 [n, h, w] as an epoch of training moves them."""
    how = augmentation.augmentation(experiment.recipe)
    return augmentation.augment(images, np.random.default_rng(experiment.seed), how)[0]


def fit(experiment: Experiment, model: keras.Model, parts: Parts) -> pd.DataFrame | None:
    """Train, with a checkpoint each epoch; save history and model. Returns the history, a row an
    epoch; None where the settings name a trained model, which stays as it is."""
    if "model" in experiment.settings:
        return None
    history = trainer.fit(
        model,
        parts.train,
        parts.validation,
        experiment.recipe,
        seed=experiment.seed,
        copies=parts.copies,
        checkpoint=_checkpoint(experiment),
    )
    _keep(experiment, model, history)
    return history


def fine_tune(
    experiment: Experiment, model: keras.Model, parts: Parts, history: pd.DataFrame
) -> pd.DataFrame:
    """Go on after `fit` with more layers: those from `fine_tuning`'s `trainable_from` on learn, by
    its recipe.

    Returns the history of both stages, column `stage` 1 and 2; the model ends with the best epoch
    of all on validation.
    """
    frozen, learning = model.get_weights(), [layer.trainable for layer in model.layers]
    blocks.learn_from(model, experiment.settings["fine_tuning"]["trainable_from"])
    try:
        tuned = trainer.fit(
            model,
            parts.train,
            parts.validation,
            experiment.tuning,
            seed=experiment.seed,
            checkpoint=_checkpoint(experiment, "_tuned"),
            start=frozen,
        )
    finally:  # so that a cell run again finds the first stage as it was
        for layer, learns in zip(model.layers, learning, strict=True):
            layer.trainable = learns
    tuned = tuned.assign(stage=2, epoch=tuned.epoch + len(history))
    history = pd.concat([history.assign(stage=1), tuned], ignore_index=True)
    if artifacts.best_epoch(history).stage == 1:
        model.set_weights(frozen)
    _keep(experiment, model, history)
    return history


def save(
    experiment: Experiment, model: keras.Model, parts: Parts, history: pd.DataFrame | None
) -> artifacts.Predictions:
    """Save the `answers` to validation and test faces with their record. `history` None: the model
    was loaded."""
    predictions, learnt = answers(experiment, model, parts)
    learnt |= trainer.record(model, history, experiment.recipe, len(parts.train))
    if experiment.tuning and history is not None:
        learnt["fine_tuning"] = experiment.settings["fine_tuning"] | {
            "recipe_parameters": vars(experiment.tuning)
        }
    write(experiment, predictions, learnt)
    return predictions


def answers(
    experiment: Experiment, model: keras.Model, parts: Parts
) -> tuple[artifacts.Predictions, dict]:
    """Probabilities of validation and test faces, and for the record how they were made.

    Outputs that do not sum to one (sigmoid) are divided by their sum: the order of the classes
    stays, and averages and calibration mean the same for every network. Raises `TrainingError` for
    outputs that are no probabilities.
    """
    row_ids = experiment.faces.row_ids[
        np.concatenate([experiment.partition.validation, experiment.partition.test])
    ]
    raw = prediction.predictions(
        model, parts.validation, parts.test, row_ids, experiment.recipe, views=experiment.views
    )
    predictions = replace(
        raw,
        probabilities=distributions(raw.probabilities, model.name),
        probabilities_tta=distributions(raw.probabilities_tta, model.name),
    )
    divided = predictions.probabilities is not raw.probabilities
    return predictions, {"views": experiment.views, "outputs_divided_by_sum": divided}


def distributions(outputs: np.ndarray, name: str) -> np.ndarray:
    """Outputs [n, c] of the network `name`, each row divided by its sum where that is not one
    already."""
    if not (outputs.min() >= 0 and outputs.max() <= 1.001):  # NaN fails as well
        raise trainer.TrainingError(
            f"{name}: outputs from {outputs.min():.3g} to {outputs.max():.3g} are no "
            "probabilities; end the model with softmax or sigmoid"
        )
    sums = outputs.sum(1, keepdims=True)
    return outputs if np.allclose(sums, 1, atol=0.001) else outputs / np.maximum(sums, 1e-12)


def siblings(experiment: Experiment, parts: Parts) -> pd.DataFrame:
    """All trainings of this notebook in the run's folder, on the same faces and split: a row each,
    with what validation faces say in %, probabilities averaged over views. Columns network, seed,
    recipe, loss, epochs, best epoch, accuracy, confidence (mean), calibration error."""
    by_row = np.argsort(experiment.faces.row_ids[experiment.partition.validation])
    rows, labels = [], parts.validation.labels[by_row]
    for split, network, seed in artifacts.list_predictions(experiment.folder):
        record = artifacts.read_record(experiment.folder, split, network, seed)
        same = split == experiment.split and record.get("data") == _data(experiment)
        if same and _of_notebook(network, experiment):
            _, averaged = artifacts.load_predictions(experiment.folder, split, network, seed).of(
                artifacts.VALIDATION
            )
            averaged = averaged.astype(np.float32)
            rows.append(
                {
                    "network": network,
                    "seed": seed,
                    "recipe": record["recipe"],
                    "loss": record.get("recipe_parameters", {}).get("loss"),
                    "epochs": record.get("epochs"),
                    "best epoch": record.get("best_epoch"),
                    "accuracy": 100 * np.mean(averaged.argmax(1) == labels),
                    "confidence": 100 * float(averaged.max(1).mean()),
                    "calibration error": 100 * metrics.calibration_error(averaged, labels),
                }
            )
    return pd.DataFrame(rows)


def write(experiment: Experiment, predictions: artifacts.Predictions, learnt: dict) -> Path:
    """Write predictions and their record: the experiment's own values and `learnt`, what is known
    of the training."""
    settings = experiment.settings
    record = experiment.record | {key: settings.get(key) for key in ("base", "recipe", "system")}
    record |= {
        "network": experiment.network,
        "split": experiment.split,
        "seed": experiment.seed,
    }
    record |= {"data": _data(experiment)}
    record |= {key: settings[key] for key in ("teachers", "teacher_seeds") if key in settings}
    key = experiment.split, experiment.network, experiment.seed
    return artifacts.save_predictions(experiment.folder, *key, predictions, record | learnt)


def _data(experiment: Experiment) -> dict:
    faces = experiment.faces
    return {
        "origin": faces.origin,
        "fingerprint": faces.fingerprint,
        "n": len(faces),
        "subset": experiment.subset,
    }


def _checkpoint(experiment: Experiment, ending: str = "") -> Path:
    folder = experiment.folder / "checkpoints" / experiment.split / experiment.network
    return folder / f"seed{experiment.seed}{ending}"


def _keep(experiment: Experiment, model: keras.Model, history: pd.DataFrame) -> None:
    """Write history and model."""
    key = experiment.split, experiment.network, experiment.seed
    artifacts.write_atomically(
        artifacts.history_path(experiment.folder, *key),
        history.to_csv(index=False, float_format="%.6g"),
    )
    trainer.save_model(model, artifacts.model_path(experiment.folder, *key))


def _of_notebook(network: str, experiment: Experiment) -> bool:
    return network in parameters.network_names() and (
        parameters.network(network)["notebook"] == experiment.settings["notebook"]
    )


def _fitting(model: keras.Model, name: str, experiment: Experiment) -> keras.Model:
    """A loaded model whose inputs are the experiment's; a single one of another name becomes
    "image"."""
    side, wanted = experiment.recipe.crop or SIDE, experiment.settings["inputs"]
    shapes = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    single = len(shapes) == 1 and wanted == ["image"]
    image = next(iter(shapes.values())) if single else shapes.get("image")
    if not single and set(shapes) != set(wanted):
        raise trainer.TrainingError(
            f"{name}: takes {', '.join(shapes)}; the network's file says {', '.join(wanted)}"
        )
    if len(image) != 3 or any(
        a not in (None, b) for a, b in zip(image, (side, side, 1), strict=True)
    ):
        found = "×".join("any" if length is None else str(length) for length in image)
        raise trainer.TrainingError(f"{name}: takes pictures of {found}; faces are {side}×{side}×1")
    if set(shapes) == set(wanted):
        return model
    face = keras.layers.Input((side, side, 1), name="image")
    plain = keras.Model(model.inputs[0], model.outputs[0])
    copy = keras.models.clone_model(plain, input_tensors=face)
    copy.set_weights(plain.get_weights())
    return keras.Model({"image": face}, copy.outputs[0], name=model.name)
