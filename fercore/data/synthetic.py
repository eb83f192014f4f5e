"""The embedded data set: faces drawn by code, so that every notebook, table and test runs without
FER2013.

A face is an identity (head, hair, skin, features, glasses, beard) and an expression (how far brows,
lids, nose and mouth have moved, after the action units of the Facial Action Coding System of Ekman
& Friesen, 1978).
"""

from dataclasses import fields

import numpy as np

from fercore.data.drawing import Expression, Identity, draw
from fercore.data.faces import CLASS_NAMES, SIDE, USAGES, Faces, from_arrays

ORIGIN = "embedded synthetic faces"
# share of faces that repeat an earlier one, a tenth of them under another label, as in FER2013
COPIES = 0.02
VARIANTS = {  # each label in two ways of showing it, so that none is a matter of one stroke
    "Angry": (
        Expression(brow_inner=-1.0, brow_outer=0.3, frown=1.0, lids=-0.25, lower_lid=0.4, corners=-0.45, width=-0.15),
        Expression(brow_inner=-1.0, brow_outer=0.35, frown=1.0, lids=0.1, lower_lid=0.4, nose=0.25, corners=-0.25,
                   opening=0.5, width=0.1, square=1.0, teeth=1.0),
    ),
    "Disgust": (
        Expression(brow_inner=-0.5, frown=0.45, lids=-0.55, lower_lid=0.6, nose=1.0, lip=1.0, corners=-0.5, cheeks=0.8),
        Expression(brow_inner=-0.4, frown=0.3, lids=-0.6, lower_lid=0.5, nose=1.0, lip=0.8, corners=-0.7, opening=0.3,
                   teeth=0.7, cheeks=1.0, pout=0.3),
    ),
    "Fear": (
        Expression(brow_inner=1.0, brow_outer=0.1, frown=0.5, lids=0.8, corners=-0.35, opening=0.38, width=0.45,
                   square=0.8, teeth=0.7),
        Expression(brow_inner=1.0, brow_outer=0.15, frown=0.5, lids=0.9, corners=-0.25, opening=0.2, width=0.5,
                   square=0.6, teeth=0.3),
    ),
    "Happy": (
        Expression(brow_outer=0.1, lids=-0.3, lower_lid=0.7, corners=1.0, opening=0.5, width=0.5, teeth=1.0,
                   cheeks=0.9),
        Expression(brow_outer=0.1, lids=-0.1, lower_lid=0.5, corners=0.9, width=0.45, cheeks=0.7),
    ),
    "Sad": (
        Expression(brow_inner=0.75, brow_outer=-0.45, frown=0.3, lids=-0.4, corners=-0.9, pout=0.8, droop=0.9),
        Expression(brow_inner=0.9, brow_outer=-0.3, frown=0.5, lids=-0.6, lower_lid=0.3, corners=-0.7, opening=0.12,
                   width=0.1, pout=0.4, droop=0.6),
    ),
    "Surprise": (
        Expression(brow_inner=0.9, brow_outer=1.0, lids=0.8, opening=1.0, width=-0.45),
        Expression(brow_inner=0.8, brow_outer=0.9, lids=0.7, corners=0.15, opening=0.65, width=-0.2, teeth=0.4),
    ),
    "Neutral": (Expression(), Expression(lids=-0.15, corners=0.05)),
}  # fmt: skip


def faces(train: int = 2100, validation: int = 420, test: int = 420, seed: int = 0) -> Faces:
    """Drawn `Faces`, the same for the same seed: `train` Training, `validation` PublicTest, `test`
    PrivateTest.

    Expressions are equally frequent; people differ between the splits. A few faces are exact copies
    of earlier ones.
    """
    rng = np.random.default_rng(seed)
    n = train + validation + test
    usage = np.repeat(np.arange(len(USAGES), dtype=np.int8), (train, validation, test))
    labels = rng.permutation(np.arange(n) % len(CLASS_NAMES)).astype(np.int8)
    images = np.empty((n, SIDE, SIDE), np.uint8)
    for position, label in enumerate(labels):
        images[position] = draw(identity(rng), expression(CLASS_NAMES[label], rng), rng)
    for copy in np.flatnonzero(rng.random(n) < COPIES)[1:]:
        original = rng.integers(copy)
        images[copy] = images[original]
        labels[copy] = labels[original] if rng.random() < 0.9 else labels[copy]
    return from_arrays(images, labels, usage, origin=ORIGIN)


def votes(faces: Faces, vote_names: tuple[str, ...]) -> np.ndarray:
    """Ten votes on each drawn face, int8 [n, 10], columns `vote_names`: four in five for its label,
    others anywhere.

    The same for the same row, whichever faces are asked about.
    """
    words = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    column = np.array([vote_names.index(word) for word in words])[faces.labels]
    rng = np.random.default_rng(0)
    shape = faces.row_ids.max(initial=0) + 1, 10
    agree, elsewhere = (
        rng.random(shape)[faces.row_ids] < 0.8,
        rng.integers(len(vote_names), size=shape)[faces.row_ids],
    )
    given = np.where(agree, column[:, None], elsewhere)
    return (given[:, :, None] == np.arange(len(vote_names))).sum(1).astype(np.int8)


def identity(rng: np.random.Generator) -> Identity:
    """A person by chance."""
    skin = rng.uniform(95, 215)
    return Identity(
        width=rng.uniform(0.68, 0.82),
        length=rng.uniform(0.96, 1.1),
        jaw=rng.uniform(0, 1),
        skin=skin,
        hair=rng.choice(
            [rng.uniform(15, 60), rng.uniform(60, 130), rng.uniform(170, 225)], p=[0.6, 0.28, 0.12]
        ),
        style=rng.choice(4, p=[0.1, 0.35, 0.25, 0.3]),
        brow=rng.uniform(0.035, 0.075),
        eye=rng.uniform(0.17, 0.21),
        spacing=rng.uniform(0.33, 0.39),
        iris=rng.uniform(20, 80),
        nose=rng.uniform(0.13, 0.2),
        mouth=rng.uniform(0.26, 0.34),
        lips=rng.uniform(0.04, 0.085),
        beard=rng.uniform(0.3, 0.8) * (rng.random() < 0.15),
        glasses=rng.random() < 0.08,
        age=rng.uniform(0, 1),
    )


def expression(label: str, rng: np.random.Generator) -> Expression:
    """A way of showing `label`: some weaker, none exact, one in six with a trace of another
    expression."""
    strength = rng.beta(3.2, 1.7)
    values = strength * _values(VARIANTS[label][rng.integers(2)])
    if rng.random() < 1 / 6:
        other = VARIANTS[CLASS_NAMES[rng.integers(len(CLASS_NAMES))]][rng.integers(2)]
        values = 0.6 * values + 0.4 * _values(other)
    return Expression(*(values + rng.normal(0, 0.09, len(values))))


def _values(moved: Expression) -> np.ndarray:
    return np.array([getattr(moved, field.name) for field in fields(moved)])
