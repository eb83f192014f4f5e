"""What a run keeps of its trainings: predictions with records, and these side by side."""

import keras
import numpy as np
import pandas as pd

from fercore import artifacts
from fercore.config import parameters
from fercore.data import augmentation
from fercore.evaluation import metrics
from fercore.training import prediction, trainer
from fercore.training.experiments import Experiment, Parts
from fercore.training.loading import distributions


def save(
    experiment: Experiment, model: keras.Model, parts: Parts, history: pd.DataFrame | None
) -> artifacts.Predictions:
    """Save the `predictions` for validation and test faces with their record: the experiment's own
    values and what is known of the training. `history` None: the model was loaded."""
    settings, (split, network, seed) = experiment.settings, experiment.key
    record = experiment.record | {key: settings.get(key) for key in ("base", "recipe", "system")}
    record |= {"network": network, "split": split, "seed": seed, "data": experiment.data}
    record |= {key: settings[key] for key in ("teachers", "teacher_seeds") if key in settings}
    found, how = predictions(experiment, model, parts)
    record |= how | trainer.record(model, history, experiment.recipe, len(parts.train))
    if experiment.tuning and history is not None:
        tuned = {"recipe_parameters": vars(experiment.tuning)}
        record["fine_tuning"] = settings["fine_tuning"] | tuned
    artifacts.save_predictions(experiment.folder, split, network, seed, found, record)
    return found


def predictions(
    experiment: Experiment, model: keras.Model, parts: Parts
) -> tuple[artifacts.Predictions, dict]:
    """Probabilities of validation and test faces, plain and averaged over the experiment's views,
    and for the record how they were made.

    Outputs that do not sum to one (sigmoid) are divided by their sum: the order of the classes
    stays, and averages and calibration mean the same for every network. Raises `TrainingError` for
    outputs that are no probabilities.
    """
    shown, recipe = (parts.validation, parts.test), experiment.recipe
    by_view = [
        np.concatenate([prediction.predict(model, part, recipe, view) for part in shown])
        for view in augmentation.views(experiment.views)
    ]
    plain = distributions(by_view[0], model.name)
    averaged = distributions(np.mean(by_view, axis=0), model.name)
    part = np.repeat([artifacts.VALIDATION, artifacts.TEST], [len(one) for one in shown])
    chosen = np.concatenate([experiment.partition.validation, experiment.partition.test])
    row_ids = experiment.faces.row_ids[chosen]
    divided = plain is not by_view[0]
    found = artifacts.Predictions(row_ids, part, plain, averaged)
    return found, {"views": experiment.views, "outputs_divided_by_sum": divided}


def table(experiment: Experiment, parts: Parts) -> pd.DataFrame:
    """All trainings of this notebook in the run's folder, on the same faces and split: a row each,
    with what is predicted for validation faces in %, probabilities averaged over views. Columns
    network, seed, recipe, loss, epochs, best epoch, accuracy, confidence (mean), calibration
    error."""
    by_row = np.argsort(experiment.faces.row_ids[experiment.partition.validation])
    rows, labels = [], parts.validation.labels[by_row]
    notebook, known = experiment.settings["notebook"], parameters.network_names()
    own = [name for name in known if parameters.network(name)["notebook"] == notebook]
    for split, network, seed in artifacts.list_predictions(experiment.folder):
        record = artifacts.read_record(experiment.folder, split, network, seed)
        same = split == experiment.split and record.get("data") == experiment.data
        if same and network in own:
            found = artifacts.load_predictions(experiment.folder, split, network, seed)
            averaged = found.of(artifacts.VALIDATION)[1].astype(np.float32)
            row = {"network": network, "seed": seed, "recipe": record["recipe"]}
            row |= {
                "loss": record.get("recipe_parameters", {}).get("loss"),
                "epochs": record.get("epochs"),
                "best epoch": record.get("best_epoch"),
                "accuracy": 100 * np.mean(averaged.argmax(1) == labels),
                "confidence": 100 * float(averaged.max(1).mean()),
                "calibration error": 100 * metrics.calibration_error(averaged, labels),
            }
            rows.append(row)
    return pd.DataFrame(rows)
