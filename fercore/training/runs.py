"""The trainings of a run: side by side, and their predictions made anew by the trained models."""

from dataclasses import replace

import numpy as np
import pandas as pd

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.config.recipes import Recipe
from fercore.evaluation import metrics
from fercore.training import experiments
from fercore.training.experiments import Experiment, Parts


def table(experiment: Experiment, parts: Parts) -> pd.DataFrame:
    """All trainings of this notebook in the run's folder, on the same faces and split: a row each,
    with what is predicted for validation faces in %, probabilities averaged over views. Columns
    network, seed, recipe, loss, epochs, best epoch, accuracy, confidence (mean), calibration
    error."""
    by_row = np.argsort(experiment.faces.row_ids[experiment.partition.validation])
    rows, labels = [], parts.validation.labels[by_row]
    for split, network, seed in artifacts.list_predictions(experiment.folder):
        record = artifacts.read_record(experiment.folder, split, network, seed)
        same = split == experiment.split and record.get("data") == experiments.data_of(experiment)
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
    found, how = experiments.predictions(experiment, model, experiments.examples(experiment))
    again = {name: experiment.record[name] for name in ("git_commit", "git_dirty", "when")}
    artifacts.save_predictions(
        folder, split, network, seed, found, record | how | {"asked_again": again}
    )
    return found


def _of_notebook(network: str, experiment: Experiment) -> bool:
    return network in parameters.network_names() and (
        parameters.network(network)["notebook"] == experiment.settings["notebook"]
    )
