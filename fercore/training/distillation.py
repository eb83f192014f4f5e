"""Soft targets: the probabilities that trained networks, the teachers, predict for the training
faces, for a smaller network to learn from (Hinton, Vinyals, Dean, 'Distilling the knowledge in a
neural network', arXiv:1503.02531, at temperature 1)."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import keras
import numpy as np

from fercore import artifacts
from fercore.config import parameters, recipes
from fercore.config.recipes import Recipe
from fercore.data import augmentation
from fercore.training import loading, prediction
from fercore.training.loading import TrainingError
from fercore.training.prediction import Examples

if TYPE_CHECKING:
    from fercore.training.experiments import Experiment


def soft_labels(experiment: "Experiment") -> np.ndarray:
    """Class probabilities float32 [n, c] of the experiment's training faces: the mean over its
    teachers, trained on these faces and no others, and over a face and its mirror image. Raises
    `TrainingError` for a teacher that is missing, damaged or of other classes."""
    faces, train, found = experiment.faces, experiment.partition.train, []
    for model, settings, recipe in _teachers(experiment):
        shown = prediction.examples(faces, train, settings["inputs"], recipe).select(train)
        found += [prediction.predict(model, shown, recipe, view) for view in augmentation.views(2)]
    return np.mean(found, axis=0)


def copies(experiment: "Experiment", train: Examples) -> list[Examples]:
    """Copies of the training faces, uint8 [n, h, w], augmented and mixed as the recipe says, with
    the mean of what the experiment's teachers predict for them, float32 [n, c]. Copy k is the same
    for every student. Raises `TrainingError` as `soft_labels`, and for teachers that take more than
    the picture."""
    for name in experiment.settings["teachers"]:
        if (inputs := parameters.network(name)["inputs"]) != ["image"]:
            fault = f"takes {', '.join(inputs)}; a teacher of copies must take the image alone"
            raise TrainingError(f"teacher {name}: {fault}")
    recipe = experiment.recipe
    made = [replace(train, images=_copy(train.images, k, recipe)) for k in range(recipe.copies)]
    teachers = _teachers(experiment)
    found = [[prediction.predict(model, one, own) for one in made] for model, _, own in teachers]
    mean = np.asarray(found, np.float32).mean(axis=0)
    return [replace(copy, soft_labels=soft) for copy, soft in zip(made, mean, strict=True)]


def _teachers(experiment: "Experiment") -> Iterator[tuple[keras.Model, dict, Recipe]]:
    """Each trained teacher on the experiment's split, with its network's file and its recipe."""
    seeds = experiment.settings.get("teacher_seeds") or [experiment.seed]
    every = list(itertools.product(experiment.settings["teachers"], seeds))
    for name, seed in artifacts.progress(every, "teachers"):
        settings = parameters.network(name)
        of = experiment.folder, experiment.split, name, seed
        model = loading.trained(*of, experiment.faces.class_names)
        yield model, settings, recipes.read(settings["recipe"])


def _copy(images: np.ndarray, k: int, recipe: Recipe) -> np.ndarray:
    """Copy `k` of images uint8 [n, h, w]."""
    rng = np.random.default_rng([k])
    changed = augmentation.augment(images, rng, augmentation.augmentation(recipe))[0]
    if not recipe.mixup:
        return changed
    weight = rng.beta(recipe.mixup, recipe.mixup, len(changed))
    pairs = zip(changed, weight, changed[rng.permutation(len(changed))], strict=True)
    return np.stack([cv2.addWeighted(one, w, other, 1 - w, 0) for one, w, other in pairs])
