"""What a network is shown of the faces, and the probabilities that it tells, averaged over views or
not."""

from dataclasses import dataclass

import keras
import numpy as np

from fercore import artifacts
from fercore.config.recipes import Recipe
from fercore.data import augmentation
from fercore.data.faces import Faces
from fercore.features import descriptors
from fercore.models import registry

BATCH = 512  # faces that a network is asked about at a time


@dataclass(frozen=True)
class Examples:
    """What a network learns from or is asked about.

    `images` uint8 [n, h, w]; `labels` int [n]; `descriptors` by name, float32 [n, 2, d]: of the
    face and of its mirror image; `soft_labels` float32 [n, c], probabilities to learn beside the
    labels, or None.
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


def examples(
    faces: Faces, train: np.ndarray, names: list[str], recipe: Recipe, **parameters: dict
) -> Examples:
    """The faces with the descriptors that a network takes as inputs `names`, scaled as the recipe
    says.

    `train`: positions of the training faces, on which visual words are fitted and by which numbers
    are standardised; `parameters` go to `descriptors.load`, by name of the descriptor.
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
    """`values` [n, 2, d] less the training faces' mean, number by number, over their standard
    deviation."""
    return (values - values[train, 0].mean(axis=0)) / np.maximum(values[train, 0].std(axis=0), 1e-3)


def predict(
    model: keras.Model,
    examples: Examples,
    recipe: Recipe,
    view: augmentation.View = augmentation.PLAIN,
) -> np.ndarray:
    """Class probabilities float32 [n, classes] of the faces in one `view`, with the descriptors of
    their mirror images where it is mirrored. All batches are of one size, the last one reaches
    back: for another size, a backend that compiles would compile again."""
    images = augmentation.crop(augmentation.seen(examples.images, view), recipe.crop)
    images = augmentation.resize(images, registry.side(model))
    parts = []
    for k in range(0, len(images), BATCH):
        first = max(0, min(k, len(images) - BATCH))
        batch = slice(first, first + BATCH)
        x = {"image": augmentation.normalise(images[batch], recipe.normalisation)}
        x |= {name: array[batch, int(view.mirror)] for name, array in examples.descriptors.items()}
        parts.append(
            model.predict_on_batch({name: x[name] for name in registry.inputs(model)})[k - first :]
        )
    return np.concatenate(parts).astype(np.float32)


def predictions(
    model: keras.Model,
    validation: Examples,
    test: Examples,
    row_ids: np.ndarray,
    recipe: Recipe,
    *,
    views: int = 2,
) -> artifacts.Predictions:
    """Probabilities of validation and test faces, plain and averaged over so many
    `augmentation.views`.

    `row_ids` int [n]: of the validation faces, then of the test faces.
    """
    answers = [
        np.concatenate([predict(model, part, recipe, view) for part in (validation, test)])
        for view in augmentation.views(views)
    ]
    split = np.repeat([artifacts.VALIDATION, artifacts.TEST], [len(validation), len(test)])
    return artifacts.Predictions(row_ids, split, answers[0], np.mean(answers, axis=0))
