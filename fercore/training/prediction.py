"""What a network is shown of the faces, in training and after it, and what it predicts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from fercore.config import recipes
from fercore.config.recipes import Recipe
from fercore.data import augmentation
from fercore.data.faces import Faces
from fercore.features import descriptors
from fercore.models import registry

BATCH = 512  # faces of one prediction step


@dataclass(frozen=True)
class Examples:
    """Faces with all that a network may take of them: `images` uint8 [n, h, w]; `labels` int [n];
    `descriptors` by name, float32 [n, 2, d], of face and mirror image; `soft_labels` [n, c]."""

    images: np.ndarray
    labels: np.ndarray
    descriptors: dict[str, np.ndarray]
    soft_labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def select(self, positions: np.ndarray) -> "Examples":
        """The examples at `positions`, in that order."""
        descriptors = {name: array[positions] for name, array in self.descriptors.items()}
        soft = None if self.soft_labels is None else self.soft_labels[positions]
        return Examples(self.images[positions], self.labels[positions], descriptors, soft)


def examples(
    faces: Faces, train: np.ndarray, names: list[str], recipe: Recipe, **parameters: dict
) -> Examples:
    """The faces with the descriptors among a network's inputs `names`, scaled as the recipe says.
    Visual words and means are those of the training faces, at `train`; `parameters`, by name of the
    descriptor, go to `descriptors.load`."""
    loaded = {}
    for name in names:
        if name != "image":
            values = descriptors.load(name, faces, train, **parameters.get(name, {}))
            loaded[name] = descriptors.scale(name, values, recipe.descriptor_scaling.get(name))
            if recipe.descriptors_standardised:
                learnt = loaded[name][train, 0]
                spread = np.maximum(learnt.std(axis=0), 1e-3)
                loaded[name] = (loaded[name] - learnt.mean(axis=0)) / spread
    return Examples(faces.images, faces.labels.astype(np.int64), loaded)


class Batches(keras.utils.PyDataset):
    """The training batches of a network for Keras's `fit`, augmented as the recipe says.

    Batch `step` is ({input name: array}, targets float32 [b, classes]: one-hot labels, mixed with
    soft ones if there are any). It depends on (seed, epoch, step) alone. With `copies` of the
    faces, augmented already, each epoch takes the next of them, and their soft targets alone.
    """

    def __init__(
        self,
        train: Examples,
        recipe: Recipe,
        model: keras.Model,
        *,
        seed: int,
        copies: Sequence[Examples] = (),
    ):
        # With one worker tf.data makes them; an epoch's end then waits for tf.data's autotuner,
        # which sleeps twice as long each time: up to as long again as the epoch took.
        super().__init__(workers=2)
        self.faces, self.size, self.recipe = len(train), recipe.batch_size, recipe
        self._names, self._side = registry.inputs(model), registry.side(model)
        self._classes, self._seed = model.output_shape[-1], seed
        self._given = copies or (train,)
        if copies:
            as_it_is: dict[str, Any] = {**recipes.UNAUGMENTED, "mixup": 0.0, "soft_share": 1.0}
            self.recipe = replace(recipe, **as_it_is)
        self.begin(0)

    def __len__(self) -> int:
        return -(-self.faces // self.size)

    def begin(self, epoch: int) -> None:
        """Go to `epoch`, counted from 0: its order of the faces."""
        self._epoch = epoch
        self._order = np.random.default_rng([self._seed, epoch]).permutation(self.faces)

    def __getitem__(self, step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        rng = np.random.default_rng([self._seed, self._epoch, step])
        chosen = self._order[step * self.size : (step + 1) * self.size]
        faces = self._given[self._epoch % len(self._given)].select(chosen)
        inputs, targets = self._inputs(faces, rng), np.eye(self._classes, dtype="f4")[faces.labels]
        if faces.soft_labels is not None:
            share = self.recipe.soft_share
            targets = (1 - share) * targets + share * faces.soft_labels
        if not (alpha := self.recipe.mixup):
            return inputs, targets
        weight = rng.beta(alpha, alpha, len(targets)).astype(np.float32)
        other = rng.permutation(len(targets))

        def mixed(values: np.ndarray) -> np.ndarray:
            share = weight.reshape(-1, *[1] * (values.ndim - 1))
            return share * values + (1 - share) * values[other]

        return {name: mixed(values) for name, values in inputs.items()}, mixed(targets)

    def _inputs(self, faces: Examples, rng: np.random.Generator) -> dict[str, np.ndarray]:
        recipe, how = self.recipe, augmentation.augmentation(self.recipe)
        images, mirrored = augmentation.augment(faces.images, rng, how)
        view = (mirrored & recipe.descriptor_follows).astype(int)
        seen = augmentation.resize(augmentation.crop(images, recipe.crop), self._side)
        x = {"image": augmentation.normalise(seen, recipe.normalisation)}
        lost, kept = recipe.modality_dropout, np.float32(1 - recipe.descriptor_dropout)
        withheld = rng.random(len(view)) < lost if lost else np.zeros(len(view), bool)
        for name, array in faces.descriptors.items():
            x[name] = array[np.arange(len(view)), view]
            if kept < 1:
                x[name] = x[name] * (rng.random(x[name].shape, np.float32) < kept) / kept
            x[name][withheld] = 0
        return {name: x[name] for name in self._names}


def predict(
    model: keras.Model,
    examples: Examples,
    recipe: Recipe,
    view: augmentation.View = augmentation.PLAIN,
) -> np.ndarray:
    """Class probabilities float32 [n, classes] of the faces and their descriptors in one `view`.
    The last batch reaches back: for another size, some backends would compile again."""
    images = augmentation.crop(augmentation.seen(examples.images, view), recipe.crop)
    images = augmentation.resize(images, registry.side(model))
    parts = []
    for k in range(0, len(images), BATCH):
        first = max(0, min(k, len(images) - BATCH))
        batch = slice(first, first + BATCH)
        x = {"image": augmentation.normalise(images[batch], recipe.normalisation)}
        x |= {name: array[batch, int(view.mirror)] for name, array in examples.descriptors.items()}
        x = {name: x[name] for name in registry.inputs(model)}
        parts.append(model.predict_on_batch(x)[k - first :])
    return np.concatenate(parts).astype(np.float32)
