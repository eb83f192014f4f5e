"""What a run keeps of its trainings: predictions with records, side by side, and made anew by the
trained models."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.config.recipes import Recipe
from fercore.evaluation import metrics
from fercore.training import experiments, prediction, trainer
from fercore.training.experiments import Experiment, Parts
from fercore.training.loading import distributions


def save(
    experiment: Experiment, model: keras.Model, parts: Parts, history: pd.DataFrame | None
) -> artifacts.Predictions:
    """Save the `predictions` for validation and test faces with their record. `history` None: the
    model was loaded."""
    found, learnt = predictions(experiment, model, parts)
    learnt |= trainer.record(model, history, experiment.recipe, len(parts.train))
    if experiment.tuning and history is not None:
        learnt["fine_tuning"] = experiment.settings["fine_tuning"] | {
            "recipe_parameters": vars(experiment.tuning)
        }
    write(experiment, found, learnt)
    return found


def predictions(
    experiment: Experiment, model: keras.Model, parts: Parts
) -> tuple[artifacts.Predictions, dict]:
    """Probabilities of validation and test faces, and for the record how they were made.

    Outputs that do not sum to one (sigmoid) are divided by their sum: the order of the classes
    stays, and averages and calibration mean the same for every network. Raises `TrainingError` for
    outputs that are no probabilities.
    """
    row_ids = experiment.faces.row_ids[
        np.concatenate([experiment.partition.validation, experiment.partition.test])
    ]
    raw = prediction.predictions(
        model, parts.validation, parts.test, row_ids, experiment.recipe, views=experiment.views
    )
    found = replace(
        raw,
        probabilities=distributions(raw.probabilities, model.name),
        probabilities_tta=distributions(raw.probabilities_tta, model.name),
    )
    divided = found.probabilities is not raw.probabilities
    return found, {"views": experiment.views, "outputs_divided_by_sum": divided}


def write(experiment: Experiment, found: artifacts.Predictions, learnt: dict) -> Path:
    """Write predictions and their record: the experiment's own values and `learnt`, what is known
    of the training."""
    settings, (split, network, seed) = experiment.settings, experiment.key
    record = experiment.record | {key: settings.get(key) for key in ("base", "recipe", "system")}
    record |= {"network": network, "split": split, "seed": seed, "data": experiment.data}
    record |= {key: settings[key] for key in ("teachers", "teacher_seeds") if key in settings}
    return artifacts.save_predictions(
        experiment.folder, split, network, seed, found, record | learnt
    )


def table(experiment: Experiment, parts: Parts) -> pd.DataFrame:
    """All trainings of this notebook in the run's folder, on the same faces and split: a row each,
    with what is predicted for validation faces in %, probabilities averaged over views. Columns
    network, seed, recipe, loss, epochs, best epoch, accuracy, confidence (mean), calibration
    error."""
    by_row = np.argsort(experiment.faces.row_ids[experiment.partition.validation])
    rows, labels = [], parts.validation.labels[by_row]
    for split, network, seed in artifacts.list_predictions(experiment.folder):
        record = artifacts.read_record(experiment.folder, split, network, seed)
        same = split == experiment.split and record.get("data") == experiment.data
        if same and _of_notebook(network, experiment):
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


def outdated(profile: str) -> list[tuple[str, str, int]]:
    """(split, network, seed) of predictions over other `views` than the network's file now says,
    whose trained model is there."""
    folder, known = paths.outputs(profile), parameters.network_names()
    return [
        (split, network, seed)
        for split, network, seed in artifacts.list_predictions(folder)
        if network in known
        and artifacts.model_path(folder, split, network, seed).is_file()
        and artifacts.read_record(folder, split, network, seed).get("views", 2)
        != parameters.network(network).get("views", 2)
    ]


def renew(
    profile: str, split: str, network: str, seed: int, data: str | None = None
) -> artifacts.Predictions:
    """Replace predictions of a run by those that its trained model makes now, without training. The
    record stays that of the training and says by which code the model predicted again."""
    folder = paths.outputs(profile)
    record = artifacts.read_record(folder, split, network, seed)
    origin = {"profile": profile, "data": data, "subset": record["data"]["subset"]}
    experiment = experiments.read(network, split=split, seed=seed, **origin)
    settings = {key: value for key, value in experiment.settings.items() if key != "teachers"}
    settings |= {"class_names": list(experiment.faces.class_names)}
    recipe = Recipe(**record["recipe_parameters"])
    experiment = replace(experiment, settings=settings, recipe=recipe)
    model = experiments.build(experiment, str(artifacts.model_path(folder, split, network, seed)))
    found, how = predictions(experiment, model, experiments.examples(experiment))
    again = {name: experiment.record[name] for name in ("git_commit", "git_dirty", "when")}
    artifacts.save_predictions(
        folder, split, network, seed, found, record | how | {"asked_again": again}
    )
    return found


def _of_notebook(network: str, experiment: Experiment) -> bool:
    return network in parameters.network_names() and (
        parameters.network(network)["notebook"] == experiment.settings["notebook"]
    )
