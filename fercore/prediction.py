"""What a network is shown of the faces, and the probabilities that it tells, averaged over views or not."""
from dataclasses import dataclass

import keras
import numpy as np

from fercore import descriptors, networks, preprocessing, runs
from fercore.faces import Faces
from fercore.recipes import Recipe

CROP_OFFSET = 2  # pixels, of the outer crops from the centre


@dataclass(frozen=True)
class Examples:
    """What a network learns from or is asked about.

    `images` uint8 [n, h, w]; `labels` int [n]; `descriptors` by name, float32 [n, 2, d]: of the face and of its
    mirror image; `soft_labels` float32 [n, c], probabilities to learn beside the labels, or None.
    """

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


def examples(faces: Faces, train: np.ndarray, names: list[str], recipe: Recipe, **parameters: dict) -> Examples:
    """The faces with the descriptors that a network takes as inputs `names`, scaled as the recipe says.

    `train`: positions of the training faces, on which visual words are fitted and by which numbers are standardised;
    `parameters` go to `descriptors.load`, by name of the descriptor.
    """
    loaded = {}
    for name in names:
        if name != "image":
            values = descriptors.load(name, faces, train, **parameters.get(name, {}))
            loaded[name] = descriptors.scale(name, values, recipe.descriptor_scaling.get(name))
            if recipe.descriptors_standardised:
                loaded[name] = _standardised(loaded[name], train)
    return Examples(faces.images, faces.labels.astype(np.int64), loaded)


def _standardised(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """`values` [n, 2, d] less the training faces' mean, number by number, over their standard deviation."""
    return (values - values[train, 0].mean(axis=0)) / np.maximum(values[train, 0].std(axis=0), 1e-3)


def predict(
    model: keras.Model, examples: Examples, recipe: Recipe, *, mirror: bool = False, offset: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """Class probabilities float32 [n, classes] of the faces, or of their mirror images with their descriptors.

    `offset`: how far to the right and down of the centre the recipe's crop is cut, in pixels.
    """
    images = examples.images[:, :, ::-1] if mirror else examples.images
    images = preprocessing.resize(preprocessing.crop(images, recipe.crop, offset), networks.side(model))
    parts = []
    for k in range(0, len(images), 512):
        x = {"image": preprocessing.normalise(images[k : k + 512], recipe.normalisation)}
        x |= {name: array[k : k + 512, int(mirror)] for name, array in examples.descriptors.items()}
        parts.append(model.predict_on_batch({name: x[name] for name in networks.inputs(model)}))
    return np.concatenate(parts).astype(np.float32)


def predictions(model: keras.Model, validation: Examples, test: Examples, row_ids: np.ndarray, recipe: Recipe):
    """`runs.Predictions` of validation and test faces: plain, and averaged over views of each face.

    The views are the face and its mirror image, where the recipe crops each cut at five places: ten views.
    `row_ids` int [n]: of the validation faces, then of the test faces.
    """
    def seen(**view) -> np.ndarray:
        return np.concatenate([predict(model, part, recipe, **view) for part in (validation, test)])

    views = [seen(mirror=mirror, offset=offset) for offset in _offsets(recipe) for mirror in (False, True)]
    split = np.repeat([runs.VALIDATION, runs.TEST], [len(validation), len(test)])
    return runs.Predictions(row_ids, split, views[0], np.mean(views, axis=0))


def _offsets(recipe: Recipe) -> list[tuple[int, int]]:
    """Where a crop is cut when views are averaged: the centre first, then towards the corners."""
    corners = [(-CROP_OFFSET, -CROP_OFFSET), (-CROP_OFFSET, CROP_OFFSET),
               (CROP_OFFSET, -CROP_OFFSET), (CROP_OFFSET, CROP_OFFSET)]
    return [(0, 0)] + (corners if recipe.crop else [])
