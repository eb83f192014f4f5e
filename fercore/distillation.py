"""Soft labels: what trained networks, the teachers, say of the training faces, for a smaller network to learn.

Hinton, Vinyals, Dean, 'Distilling the knowledge in a neural network', arXiv:1503.02531, at temperature 1.
"""
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fercore import parameters, prediction, preprocessing, recipes, runs, training
from fercore.faces import Faces
from fercore.protocols import Split


def soft_labels(
    folder: Path, protocol: str, seed: int, teachers: Sequence[str], faces: Faces, split: Split
) -> np.ndarray:
    """Class probabilities float32 [n, c] of the training faces of `split`: the mean over the models that the run in
    `folder` keeps of the `teachers`, networks by name, and over each face and its mirror image.

    They have learnt from these faces themselves, and from no others. Raises `TrainingError` naming a model that is
    missing, damaged or of other classes.
    """
    answers = []
    for teacher in runs.progress(teachers, "teachers", len(teachers)):
        settings = parameters.network(teacher)
        path = runs.model_path(folder, protocol, teacher, seed)
        if not path.exists():
            raise training.TrainingError(f"teacher {teacher}: outputs/{folder.name} has no model of it on {protocol}, "
                                         f"seed {seed}; train it first, by notebook {settings['notebook']}")
        model, recipe = training.load_model(path, len(faces.class_names)), recipes.read(settings["recipe"])
        shown = prediction.examples(faces, split.train, settings["inputs"], recipe).select(split.train)
        answers += [prediction.predict(model, shown, recipe, view) for view in preprocessing.views(2)]
    return np.mean(answers, axis=0)
