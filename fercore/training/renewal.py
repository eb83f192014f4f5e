"""Predictions of a run made anew by its trained models, without training: after a change of
`views`."""

from dataclasses import replace

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.config.recipes import Recipe
from fercore.training import experiments


def outdated(profile: str) -> list[tuple[str, str, int]]:
    """(split, network, seed) of predictions over other `views` than the network's file now says,
    whose trained model is there."""
    folder, known = paths.outputs(profile), parameters.network_names()
    return [
        (split, network, seed)
        for split, network, seed in artifacts.list_predictions(folder)
        if network in known
        and artifacts.model_path(folder, split, network, seed).is_file()
        and _views(artifacts.read_record(folder, split, network, seed))
        != _views(parameters.network(network))
    ]


def renew(
    profile: str, split: str, network: str, seed: int, data: str | None = None
) -> artifacts.Predictions:
    """Replace predictions of a run by those that the trained model makes now. The record stays that
    of the training and says by which code the model was asked again."""
    key = split, network, seed
    record = artifacts.read_record(paths.outputs(profile), *key)
    found = experiments.read(
        network,
        split=split,
        seed=seed,
        profile=profile,
        data=data,
        subset=record["data"]["subset"],
    )
    settings = {
        name: value for name, value in found.settings.items() if name != "teachers"
    }  # who are not asked
    experiment = replace(found, settings=settings, recipe=Recipe(**record["recipe_parameters"]))
    model = experiments.build(experiment, str(artifacts.model_path(experiment.folder, *key)))
    predictions, how = experiments.answers(experiment, model, experiments.examples(experiment))
    again = {name: experiment.record[name] for name in ("git_commit", "git_dirty", "when")}
    artifacts.save_predictions(
        experiment.folder, *key, predictions, record | how | {"asked_again": again}
    )
    return predictions


def _views(settings: dict) -> int:
    return settings.get("views", 2)
