"""FER+: ten people's votes on every face of FER2013 (Barsoum et al. 2016, arXiv:1608.01041), as
labels."""

from dataclasses import replace

import numpy as np

from fercore.data import datasets
from fercore.data.faces import CLASS_NAMES, Faces

EXPRESSIONS = (*CLASS_NAMES, "Contempt")
VOTED = {
    "Angry": "anger",
    "Disgust": "disgust",
    "Fear": "fear",
    "Happy": "happiness",
    "Sad": "sadness",
    "Surprise": "surprise",
    "Neutral": "neutral",
    "Contempt": "contempt",
}


def relabelled(faces: Faces) -> Faces:
    """The faces on whose expression the voters agree, labelled with it: eight classes,
    `EXPRESSIONS`; row ids stay.

    Raises `DatasetError` where these faces have no votes.
    """
    labels = majority(datasets.load_votes(faces))
    kept = faces.select(labels >= 0)
    return replace(kept, labels=labels[labels >= 0], class_names=EXPRESSIONS)


def vote_shares(everybody: Faces, faces: Faces) -> np.ndarray:
    """Share of the votes that each expression got, float32 [n, c], for each of `faces` in the order
    of its classes.

    Single votes and those for other classes do not count; a face without any other has its label.
    `everybody`: the faces as they were read, from which `faces` were taken, whose labels may be
    others. Raises `DatasetError` where there are no votes.
    """
    column = [datasets.VOTE_NAMES.index(VOTED[name]) for name in faces.class_names]
    order = np.argsort(everybody.row_ids)
    place = order[np.searchsorted(everybody.row_ids, faces.row_ids, sorter=order)]
    votes = datasets.load_votes(everybody)[place][:, column]
    counted = np.where(votes > 1, votes, 0).astype(np.float32)
    counted[counted.sum(1) == 0] = np.eye(len(column), dtype=np.float32)[
        faces.labels[counted.sum(1) == 0]
    ]
    return counted / counted.sum(1, keepdims=True)


def majority(votes: np.ndarray) -> np.ndarray:
    """The expression with more than half of a face's votes, int8 [n], positions in `EXPRESSIONS`;
    -1 for none.

    `votes` int [n, 10], columns `datasets.VOTE_NAMES`. Single votes are dropped first, as the
    authors do; faces voted unknown or no face get -1.
    """
    counted = np.where(votes > 1, votes, 0).astype(int)
    winner, total = counted.argmax(1), counted.sum(1)
    agreed = 2 * counted.max(1) > total
    position = np.full(len(datasets.VOTE_NAMES), -1, np.int8)
    for label, name in enumerate(EXPRESSIONS):
        position[datasets.VOTE_NAMES.index(VOTED[name])] = label
    return np.where(agreed, position[winner], -1).astype(np.int8)


def agreement(votes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many voters gave each face the label it carries in FER2013, int [n]. `labels` positions
    in `CLASS_NAMES`."""
    column = np.array([datasets.VOTE_NAMES.index(VOTED[name]) for name in CLASS_NAMES])
    return votes[np.arange(len(votes)), column[labels]].astype(int)
