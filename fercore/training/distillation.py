"""Soft labels: what trained networks, the teachers, say of the training faces, for a smaller
network to learn.

Hinton, Vinyals, Dean, 'Distilling the knowledge in a neural network', arXiv:1503.02531, at
temperature 1.
"""

import contextlib
import hashlib
import itertools
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np

from fercore import artifacts, paths
from fercore.config import parameters, recipes
from fercore.config.recipes import Recipe
from fercore.data import augmentation
from fercore.data.faces import Faces
from fercore.data.splits import Partition
from fercore.training import prediction, trainer
from fercore.training.prediction import Examples


def soft_labels(
    folder: Path,
    split: str,
    seeds: Sequence[int],
    teachers: Sequence[str],
    faces: Faces,
    partition: Partition,
) -> np.ndarray:
    """Class probabilities float32 [n, c] of the training faces of `partition`: the mean over the models
    that the run in `folder` keeps of the `teachers`, networks by name, with each of the `seeds`,
    and over a face and its mirror image.

    They have learnt from these faces themselves, and from no others. Raises `TrainingError` naming
    a model that is missing, damaged or of other classes.
    """
    said = []
    for model, settings, recipe in _trained(folder, split, seeds, teachers, len(faces.class_names)):
        shown = prediction.examples(faces, partition.train, settings["inputs"], recipe).select(
            partition.train
        )
        said += [prediction.predict(model, shown, recipe, view) for view in augmentation.views(2)]
    return np.mean(said, axis=0)


def copies(
    folder: Path,
    split: str,
    seeds: Sequence[int],
    teachers: Sequence[str],
    train: Examples,
    recipe: Recipe,
    classes: int,
) -> list[Examples]:
    """So many copies of the faces `train`, uint8 [n, h, w], as `recipe.copies` says, moved and
    mixed in pairs as the recipe moves and mixes faces, each with the mean of what the models of
    `teachers` say of it, float32 [n, c].

    Copy k is the same for every student. What a teacher says of it is kept in
    `paths.CACHE/teachers`: the next student need not ask again. Raises `TrainingError` as
    `soft_labels` does, and for networks that take more than the picture.
    """
    moved = [replace(train, images=_copy(train.images, k, recipe)) for k in range(recipe.copies)]
    digest = _digest(*(copy.images for copy in moved))
    total = np.zeros((recipe.copies, len(train), classes), np.float32)
    for model, settings, own in _trained(folder, split, seeds, teachers, classes):
        if settings["inputs"] != ["image"]:
            raise trainer.TrainingError(
                f"teacher {model.name}: takes {', '.join(settings['inputs'])}; a teacher of "
                "moved copies must take the image alone"
            )
        total += _answers(model, moved, own, digest)
    total /= len(seeds) * len(teachers)
    return [replace(copy, soft_labels=soft) for copy, soft in zip(moved, total, strict=True)]


def _copy(images: np.ndarray, k: int, recipe: Recipe) -> np.ndarray:
    """Copy `k` of images uint8 [n, h, w]."""
    rng = np.random.default_rng([k])
    moved = augmentation.augment(images, rng, augmentation.augmentation(recipe))[0]
    if not recipe.mixup:
        return moved
    weight, other = rng.beta(recipe.mixup, recipe.mixup, len(moved)), rng.permutation(len(moved))
    mixed = [
        cv2.addWeighted(moved[one], share, moved[another], 1 - share, 0)
        for one, (share, another) in enumerate(zip(weight, other, strict=True))
    ]
    return np.stack(mixed)


def _answers(
    model: keras.Model, moved: Sequence[Examples], recipe: Recipe, digest: str
) -> np.ndarray:
    """What a teacher, trained by `recipe`, says of moved copies with this `digest`: float16
    [copies, n, c], from the cache if it is there."""
    key = "\n".join(
        [digest, _digest(*model.get_weights()), f"{recipe.crop} {recipe.normalisation}"]
    )
    path = paths.CACHE / "teachers" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    with (
        contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile),
        np.load(path) as file,
    ):
        if str(file["key"]) == key:
            return file["answers"]
    said = np.stack(
        [
            prediction.predict(model, copy, recipe).astype(np.float16)
            for copy in artifacts.progress(moved, model.name, len(moved))
        ]
    )
    artifacts.write_arrays(path, answers=said, key=np.array(key))
    return said


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _trained(
    folder: Path, split: str, seeds: Sequence[int], teachers: Sequence[str], classes: int
) -> Iterator[tuple[keras.Model, dict, Recipe]]:
    """The teachers' models, each with its network's file and its recipe."""
    for teacher, seed in artifacts.progress(list(itertools.product(teachers, seeds)), "teachers"):
        settings = parameters.network(teacher)
        path = artifacts.model_path(folder, split, teacher, seed)
        if not path.exists():
            raise trainer.TrainingError(
                f"teacher {teacher}: outputs/{folder.name} has no model of it on {split}, "
                f"seed {seed}; train it first, by notebook {settings['notebook']}"
            )
        yield trainer.load_model(path, classes), settings, recipes.read(settings["recipe"])
