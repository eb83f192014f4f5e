"""What a profile runs: the executions of its notebooks, their parameters, and which waits for
which."""

import re
from collections import ChainMap
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from fercore import artifacts, paths
from fercore.config import parameters, reading, recipes
from fercore.config.parameters import Profile
from fercore.config.reading import ParameterError, declared
from fercore.data import splits

# First digit of the notebooks that train, that read predictions (from 3 on once, not once a split),
# and that need none, as they use the committed model
TRAINING, REPORTING, RECOGNISING = "1", "2", "4"
ABOUT = dict.fromkeys(("22_batch_normalisation", "23_hyperparameter_search"), "official_five")
ONCE = (*ABOUT, "25_study_ensemble")  # reporting notebooks that run on one split, not once a split
TABLES = {  # measured once at length, shown by a profile that trains nothing
    "22_batch_normalisation": "learning_rates.*.csv",
    "23_hyperparameter_search": "search.*.csv",
    "26_few_faces": "learning_curve.csv",
    "27_ablation": "ablation.*x12.csv",
    "28_one_budget": "one_budget.*.allx6.csv",
    "32_training_cost": "own_way.csv",
}


@dataclass(frozen=True)
class Job:
    """One execution of one notebook. Paths in `inputs` and `outputs` are relative to the run's
    folder when they belong to it, else absolute; `after` names the jobs that come first."""

    name: str
    notebook: str
    parameters: dict
    after: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()

    @property
    def trains(self) -> bool:
        return self.notebook.startswith(TRAINING)


def jobs(chosen: Profile, left_out: Container[str] = ()) -> list[Job]:
    """Every notebook execution of a profile, checked, in the order of the series; none on the
    splits `left_out`.

    Raises `ParameterError` for a key that a notebook does not declare, a value of the wrong type,
    an unknown notebook or network.
    """
    _check_parameters(chosen)
    trained = _training_jobs(chosen, left_out)
    predictions = [path for job in trained for path in job.outputs if path.suffix == ".npz"]
    if not trained:
        predictions = [
            path for path in _predictions_at_hand(chosen) if path.parts[-3] not in left_out
        ]
    selected = [name for name in _selected(chosen) if _about(chosen, name) not in left_out]
    result = [_job(chosen, name) for name in selected if name < TRAINING] + trained
    for name in selected:
        if REPORTING <= name < RECOGNISING:
            result += _reporting_jobs(chosen, name, predictions, result)
    return result + [_job(chosen, name) for name in selected if name >= RECOGNISING]


def rule_name(job: str) -> str:
    """The Snakemake rule of a job."""
    return "job_" + re.sub(r"\W", "_", job)


def _training_jobs(chosen: Profile, left_out: Container[str]) -> list[Job]:
    found = []
    for split, names in chosen.networks.items():
        for name in names if split not in left_out else ():
            content = parameters.network(name)
            if not parameters.lacking(content):
                found += [_training_job(chosen, split, name, content, s) for s in chosen.seeds]
    return sorted(found, key=lambda job: job.notebook)


def _training_job(chosen: Profile, split: str, name: str, content: dict, seed: int) -> Job:
    """A network waits for the predictions of its teachers; one that may have to be skipped promises
    none."""
    files = [paths.PARAMS / "networks" / f"{name}.yaml"]
    if recipe := _recipe(chosen, split, name):
        files += recipes.files(recipe) if recipes.exists(recipe) else [recipes.path_of(recipe)]
    if content.get("model"):
        files.append(paths.ROOT / content["model"])
        if not files[-1].is_file():
            raise ParameterError(
                f"{paths.place(files[0])}: model {reading.shown(content['model'])}: no such file"
            )
    taught = [
        artifacts.prediction_path(Path(), split, teacher, own)
        for teacher in content.get("teachers", ())
        if teacher in chosen.networks[split]
        for own in content.get("teacher_seeds", [seed])
        if own in chosen.seeds
    ]
    path = artifacts.prediction_path(Path(), split, name, seed)
    return _job(
        chosen,
        content["notebook"],
        split=split,
        network=name,
        seed=seed,
        inputs=files + taught,
        outputs=() if content.get("needs") else (path, path.with_suffix(".json")),
    )


def _reporting_jobs(
    chosen: Profile, notebook: str, predictions: list[Path], before: list[Job]
) -> list[Job]:
    """Jobs of a notebook that reads predictions: one a split for 2x that declare it, else one.
    Splits of a share of the training faces are compared by one notebook of their own."""
    before = [
        job
        for job in before
        if job.notebook.startswith(REPORTING) or (job.trains and not job.outputs)
    ]
    by_split = notebook.startswith(REPORTING) and notebook not in ONCE
    if not (by_split and "split" in declared(notebook)):
        after = tuple(job.name for job in before)
        return [_job(chosen, notebook, inputs=predictions, after=after)]
    found = []
    for split in dict.fromkeys(path.parts[-3] for path in predictions):
        if splits.SPLITS[split].share < 1:
            continue
        own = [path for path in predictions if path.parts[-3] == split]
        after = tuple(job.name for job in before if job.parameters.get("split", split) == split)
        found.append(_job(chosen, notebook, split=split, inputs=own, after=after))
    return found


def _predictions_at_hand(chosen: Profile) -> list[Path]:
    """Predictions of single networks in the run's folder; those of aggregates are made from
    them."""
    known = parameters.network_names()
    found = artifacts.list_predictions(paths.outputs(chosen.name))
    return [artifacts.prediction_path(Path(), *key) for key in found if key[1] in known]


def _job(
    chosen: Profile,
    notebook: str,
    split: str | None = None,
    network: str | None = None,
    seed: int | None = None,
    *,
    inputs: Iterable[Path] = (),
    outputs: tuple[Path, ...] = (),
    after: tuple[str, ...] = (),
) -> Job:
    """A job with the parameters that its notebook declares: the profile's, then its own. No place
    of the data is among them unless the profile names it: no path of the machine in any report."""
    own = {"split": split, "network": network, "seed": seed}
    values: dict = {"profile": chosen.name} | ({"data": chosen.data} if chosen.data else {})
    values |= _given(chosen, notebook, split, network)
    values |= {key: value for key, value in own.items() if value is not None}
    told = {key: value for key, value in values.items() if key in declared(notebook)}
    parts = [notebook, split, network, None if seed is None else f"seed{seed}"]
    files = [paths.NOTEBOOKS / f"{notebook}.ipynb", *inputs]
    if not notebook.startswith(TRAINING):  # cheap: a change of the code behind it counts
        files += reading.modules_used(notebook)
    if not chosen.networks and notebook in TABLES:
        folder = paths.outputs(chosen.name)
        kept = sorted((folder / "tables").glob(TABLES[notebook]))
        files += [path.relative_to(folder) for path in kept]
    return Job(".".join(filter(None, parts)), notebook, told, after, tuple(files), outputs)


def _given(chosen: Profile, notebook: str, split: str | None, network: str | None) -> dict:
    """The profile's values for the parameters that a notebook declares, when it trains a network by
    a split."""
    names = (network, split, notebook, "all")
    given = ChainMap(*(chosen.parameters.get(name or "") or {} for name in names))
    return {key: given[key] for key in given if key in declared(notebook)}


def _recipe(chosen: Profile, split: str, network: str) -> str | None:
    """The recipe that a network follows on a split: the profile's, where its notebook takes one,
    else its own."""
    content = parameters.network(network)
    given = _given(chosen, content["notebook"], split, network)
    return given.get("recipe") or content.get("recipe")


def _selected(chosen: Profile) -> list[str]:
    others = [name for name in reading.notebooks() if not name.startswith(TRAINING)]
    return list(chosen.notebooks) or others


def _about(chosen: Profile, notebook: str) -> str | None:
    """The only split that a notebook trains on beside those of the profile, if there is one."""
    return _given(chosen, notebook, None, None).get("split", ABOUT.get(notebook))


def _check_parameters(chosen: Profile) -> None:
    place = paths.place(paths.PARAMS / "profiles" / f"{chosen.name}.yaml")
    for split in chosen.networks:
        if split not in splits.SPLITS:
            near = reading.suggestion(split, splits.SPLITS)
            raise ParameterError(f"{place}: split {split!r} is unknown; {near}")
    for name, values in chosen.parameters.items():
        anywhere = name == "all" or name in splits.SPLITS
        notebook = (
            parameters.network(name)["notebook"] if name in parameters.network_names() else name
        )
        concerned = reading.notebooks() if anywhere else [notebook]
        known = {key for one in concerned for key in declared(one)}
        where = "any notebook" if anywhere else f"notebook {notebook}"
        for key, value in (values or {}).items():
            if key not in known:
                near = reading.suggestion(key, known)
                raise ParameterError(f"{place}: {key!r} is no parameter of {where}; {near}")
            for one in concerned:
                if wrong := reading.misfit(key, value, declared(one).get(key, ("", ""))[0]):
                    raise ParameterError(f"{place}: {wrong} (notebook {one})")
    for split, names in chosen.networks.items():
        for name in names:
            second = parameters.network(name).get("fine_tuning", {}).get("recipe")
            for recipe in (_recipe(chosen, split, name), second):
                if recipe and recipes.exists(recipe):
                    recipes.read(recipe)
    parameters.aggregates()
