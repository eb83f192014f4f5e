"""Soft targets: the probabilities that trained networks, the teachers, predict for the training
faces, for a smaller network to learn from.

Hinton, Vinyals, Dean, 'Distilling the knowledge in a neural network', arXiv:1503.02531, at
temperature 1.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import keras
import numpy as np

from fercore import artifacts, paths
from fercore.config import parameters, recipes
from fercore.config.recipes import Recipe
from fercore.data import augmentation
from fercore.data.faces import Faces
from fercore.training import loading, prediction
from fercore.training.loading import TrainingError
from fercore.training.prediction import Examples


@dataclass(frozen=True)
class Teachers:
    """The models that the run in `folder` keeps on `split` of the networks `names`, with each of
    the `seeds`; they predict the classes `class_names`."""

    folder: Path
    split: str
    seeds: Sequence[int]
    names: Sequence[str]
    class_names: Sequence[str]

    def models(self) -> Iterator[tuple[keras.Model, dict, Recipe]]:
        """Each model with its network's file and its recipe. Raises `TrainingError` naming one
        that is missing, damaged or of other classes."""
        every = list(itertools.product(self.names, self.seeds))
        for name, seed in artifacts.progress(every, "teachers"):
            settings = parameters.network(name)
            path = artifacts.model_path(self.folder, self.split, name, seed)
            if not path.exists():
                raise TrainingError(
                    f"teacher {name}: outputs/{self.folder.name} has no model of it on "
                    f"{self.split}, seed {seed}; train it first, by notebook {settings['notebook']}"
                )
            model = loading.load(path, self.class_names, inputs=settings["inputs"])
            yield model, settings, recipes.read(settings["recipe"])


def soft_labels(teachers: Teachers, faces: Faces, train: np.ndarray) -> np.ndarray:
    """Class probabilities float32 [n, c] of the training faces, at the positions `train`: the mean
    over the models of `teachers`, trained on these faces and no others, and over a face and its
    mirror image. Raises `TrainingError` as `Teachers.models` does."""
    found = []
    for model, settings, recipe in teachers.models():
        shown = prediction.examples(faces, train, settings["inputs"], recipe).select(train)
        found += [prediction.predict(model, shown, recipe, view) for view in augmentation.views(2)]
    return np.mean(found, axis=0)


def copies(teachers: Teachers, train: Examples, recipe: Recipe) -> list[Examples]:
    """So many copies of the faces `train`, uint8 [n, h, w], as `recipe.copies` says, augmented and
    mixed in pairs as the recipe does it, each with the mean of what the models of `teachers`
    predict for it, float32 [n, c].

    Copy k is the same for every student. What a teacher predicts is kept in `paths.CACHE/teachers`
    for the next student. Raises `TrainingError` as `Teachers.models` does, and for networks that
    take more than the picture.
    """
    for name in teachers.names:
        if (inputs := parameters.network(name)["inputs"]) != ["image"]:
            raise TrainingError(
                f"teacher {name}: takes {', '.join(inputs)}; a teacher of augmented copies must "
                "take the image alone"
            )
    made = [replace(train, images=_copy(train.images, k, recipe)) for k in range(recipe.copies)]
    digest = _digest(*(copy.images for copy in made))
    total = np.zeros((recipe.copies, len(train), len(teachers.class_names)), np.float32)
    for model, _, own in teachers.models():
        total += _predicted(model, made, own, digest)
    total /= len(teachers.seeds) * len(teachers.names)
    return [replace(copy, soft_labels=soft) for copy, soft in zip(made, total, strict=True)]


def _copy(images: np.ndarray, k: int, recipe: Recipe) -> np.ndarray:
    """Copy `k` of images uint8 [n, h, w]."""
    rng = np.random.default_rng([k])
    changed = augmentation.augment(images, rng, augmentation.augmentation(recipe))[0]
    if not recipe.mixup:
        return changed
    weight = rng.beta(recipe.mixup, recipe.mixup, len(changed))
    other = rng.permutation(len(changed))
    mixed = [
        cv2.addWeighted(changed[one], share, changed[another], 1 - share, 0)
        for one, (share, another) in enumerate(zip(weight, other, strict=True))
    ]
    return np.stack(mixed)


def _predicted(
    model: keras.Model, made: Sequence[Examples], recipe: Recipe, digest: str
) -> np.ndarray:
    """What a teacher, trained by `recipe`, predicts for copies with this `digest`: float16
    [copies, n, c], from the cache if it is there."""
    key = "\n".join(
        [digest, _digest(*model.get_weights()), f"{recipe.crop} {recipe.normalisation}"]
    )
    path = paths.CACHE / "teachers" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"

    def compute() -> dict[str, np.ndarray]:
        shown = artifacts.progress(made, model.name, len(made))
        found = [prediction.predict(model, copy, recipe).astype(np.float16) for copy in shown]
        return {"answers": np.stack(found)}

    return artifacts.cached(path, key, compute)["answers"]


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
