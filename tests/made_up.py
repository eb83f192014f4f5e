"""Faces and predictions made up for the tests of evaluation: random pixels, guesses of a chosen
accuracy."""

from pathlib import Path

import numpy as np

from fercore import artifacts
from fercore.data import splits
from fercore.data.faces import USAGES, Faces, from_arrays
from fercore.evaluation import scoring


def faces(per_usage: int = 70, origin: str = "FER2013, complete", seed: int = 0) -> Faces:
    """Random faces, every class in every split; the last test face is a copy of the first training
    face."""
    n = 3 * per_usage
    images = np.random.default_rng(seed).integers(0, 256, (n, 48, 48), np.uint8)
    images[-1] = images[0]
    return from_arrays(images, np.arange(n) % 7, np.repeat(range(len(USAGES)), per_usage), origin)


def predict(
    folder: Path,
    data: Faces,
    network: str,
    *,
    split: str = "official",
    seed: int = 0,
    wrong: int = 0,
    shift: int = 1,
    subset: int | None = None,
) -> None:
    """Save certain predictions, the first `wrong` test faces and one validation face off by `shift`
    classes."""
    partition = splits.divide(data, split)
    rows = np.concatenate([partition.validation, partition.test])
    said = data.labels[rows].astype(int)
    classes = len(data.class_names)
    said[0] = (said[0] + shift) % classes
    said[len(partition.validation) : len(partition.validation) + wrong] += shift
    probabilities = 0.7 * np.eye(classes)[said % classes] + 0.3 / classes
    part = np.repeat(
        [artifacts.VALIDATION, artifacts.TEST], [len(partition.validation), len(partition.test)]
    )
    record = {
        "network": network,
        "split": split,
        "seed": seed,
        "recipe": "study",
        "parameters": 100,
        "macs": 2000,
        "epochs": 3,
        "best_epoch": 2,
        "train_seconds": 60.0,
        "images_per_second": 500,
        "precision": "float32",
        "device": "cpu",
        "processor": "a processor",
        "cores": 2,
        "data": {
            "origin": data.origin,
            "fingerprint": data.fingerprint,
            "n": len(data),
            "subset": subset,
        },
    }
    predictions = artifacts.Predictions(data.row_ids[rows], part, probabilities, probabilities)
    artifacts.save_predictions(folder, split, network, seed, predictions, record)


def run(folder: Path, data: Faces) -> scoring.Run:
    """A run in `folder`, made on `data`."""
    return scoring.Run("made_up", folder, data)
