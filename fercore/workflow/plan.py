"""What a profile runs: the executions of its notebooks, their parameters, what each waits for."""

import re
from collections import ChainMap
from collections.abc import Container, Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from fercore import artifacts, paths
from fercore.config import parameters, reading, recipes
from fercore.config.parameters import Profile
from fercore.config.reading import ParameterError, declared
from fercore.data import splits

# First digit of the notebooks that train, that read predictions (from 3 on once, not once a split),
# and that need none, as they use the committed model
TRAINING, REPORTING, RECOGNISING = "1", "2", "4"
# Reporting notebooks about one split, which they run on once
ABOUT = dict.fromkeys(("22_batch_normalisation", "23_hyperparameter_search"), "official_five")
READING = ("25_study_ensemble", "31_one_split")  # those of them that want predictions on it
ABOUT |= dict.fromkeys(READING, "official")
TABLES = {  # measured once at length, shown by a profile that trains nothing
    "22_batch_normalisation": "learning_rates.*.csv",
    "23_hyperparameter_search": "search.*.csv",
    "26_few_faces": "learning_curve.csv",
    "27_ablation": "ablation.*x[16]*.csv",
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
        """Whether it trains a network, rather than to show the committed training of one."""
        return self.notebook.startswith(TRAINING) and not self.parameters.get("replay")


def jobs(chosen: Profile, left_out: Container[str] = ()) -> list[Job]:
    """Every notebook execution of a profile, checked, in the order of the series; none on the
    splits `left_out`. Raises `ParameterError` for what the profile or a file that it names says
    and cannot be done."""
    _check(chosen)
    found = [
        _training_job(chosen, split, name, seed)
        for split, names in chosen.networks.items()
        for name in (names if split not in left_out else ())
        for seed in (chosen.seeds if not parameters.lacking(parameters.network(name)) else ())
    ]
    predictions = [path for job in found for path in job.outputs if path.suffix == ".npz"]
    if not found:
        there = [key for key in predicted(paths.outputs(chosen.name)) if key[0] not in left_out]
        predictions = [artifacts.prediction_path(Path(), *key) for key in there]
    for name in sorted(_selected(chosen)):
        if name.startswith(TRAINING):
            found.append(_job(chosen, name, inputs=predictions))
        elif not REPORTING <= name < RECOGNISING:
            found.append(_job(chosen, name))
        elif (split := _about(chosen, name)) not in left_out and (
            name not in READING or not chosen.networks or split in chosen.networks
        ):
            found += _reporting_jobs(chosen, name, predictions, found)
    return sorted(found, key=lambda job: job.notebook)


def about(chosen: Profile) -> list[str]:
    """The splits that notebooks of a profile are about, whichever its networks learn by."""
    return [split for name in _selected(chosen) if (split := _about(chosen, name))]


def _about(chosen: Profile, notebook: str) -> str | None:
    return _given(chosen, notebook).get("split", ABOUT.get(notebook))


def rule_name(job: str) -> str:
    """The Snakemake rule of a job."""
    return "job_" + re.sub(r"\W", "_", job)


def predicted(folder: Path) -> list[tuple[str, str, int]]:
    """(split, network, seed) of the predictions of single networks in a run's folder."""
    known = parameters.names("networks")
    return [key for key in artifacts.list_predictions(folder) if key[1] in known]


def _training_job(chosen: Profile, split: str, name: str, seed: int) -> Job:
    """It waits for its network's teachers; one that may be skipped promises no predictions."""
    content = parameters.network(name)
    files = [paths.PARAMS / "networks" / f"{name}.yaml"]
    given = _given(chosen, content["notebook"], split, name).get("recipe")
    second = content.get("fine_tuning", {}).get("recipe")
    for recipe in filter(None, (given or content["recipe"], second)):
        recipes.read(recipe)  # a mistake in it is an error before anything runs
        files += recipes.files(recipe)
    if content.get("model"):
        files.append(paths.ROOT / content["model"])
        if not files[-1].is_file():
            place = paths.place(files[0])
            raise ParameterError(f"{place}: model {reading.shown(content['model'])}: no such file")
    taught = [
        artifacts.prediction_path(Path(), split, teacher, own)
        for teacher in content.get("teachers", ())
        for own in content.get("teacher_seeds", [seed])
        if teacher in chosen.networks[split] and own in chosen.seeds
    ]
    if (first := content.get("starts_from")) in chosen.networks[split]:
        taught.append(artifacts.prediction_path(Path(), split, first, seed))
    path = artifacts.prediction_path(Path(), split, name, seed)
    made = () if content.get("needs") else (path, path.with_suffix(".json"))
    own = {"split": split, "network": name, "seed": seed}
    return _job(chosen, content["notebook"], own, inputs=files + taught, outputs=made)


def _reporting_jobs(
    chosen: Profile, notebook: str, predictions: list[Path], others: list[Job]
) -> list[Job]:
    """Jobs of a notebook that reads predictions: one a split for 2x that declare it, else one.
    Splits of a share of the training faces are compared by one notebook of their own."""
    before = [
        job for job in others if job.notebook[0] == REPORTING or (job.trains and not job.outputs)
    ]
    if not notebook.startswith(REPORTING) or notebook in ABOUT or "split" not in declared(notebook):
        return [_job(chosen, notebook, inputs=predictions, after=before)]
    found = []
    for split in dict.fromkeys(path.parts[-3] for path in predictions):
        if splits.SPLITS[split].share == 1:
            own = [path for path in predictions if path.parts[-3] == split]
            after = [job for job in before if job.parameters.get("split", split) == split]
            found.append(_job(chosen, notebook, {"split": split}, inputs=own, after=after))
    return found


def _job(
    chosen: Profile,
    notebook: str,
    own: dict | None = None,
    *,
    inputs: Iterable[Path] = (),
    outputs: tuple[Path, ...] = (),
    after: Iterable[Job] = (),
) -> Job:
    """A job with the parameters that its notebook declares: the profile's, then its `own` split,
    network and seed. Without a path of the machine unless the profile names it as data."""
    own = own or {}
    values: dict = {"profile": chosen.name} | ({"data": chosen.data} if chosen.data else {})
    values |= _given(chosen, notebook, own.get("split"), own.get("network")) | own
    passed = {key: value for key, value in values.items() if key in declared(notebook)}
    parts = [f"seed{value}" if key == "seed" else value for key, value in own.items()]
    files = [paths.NOTEBOOKS / f"{notebook}.ipynb", *inputs]
    if not notebook.startswith(TRAINING) or passed.get("replay"):
        files += sorted((paths.ROOT / "fercore").rglob("*.py"))  # cheap: changed code counts
    if not chosen.networks and notebook in TABLES:
        folder = paths.outputs(chosen.name)
        files += sorted(Path(path) for path in glob(f"tables/{TABLES[notebook]}", root_dir=folder))
    waits = tuple(job.name for job in after)
    return Job(".".join([notebook, *parts]), notebook, passed, waits, tuple(files), outputs)


def _selected(chosen: Profile) -> list[str]:
    """Notebooks that run beside the trainings: those named, else all; none that itself trains."""
    return [
        name
        for name in chosen.notebooks or reading.notebooks()
        if not name.startswith(TRAINING) or _given(chosen, name).get("replay")
    ]


def _given(
    chosen: Profile, notebook: str, split: str | None = None, network: str | None = None
) -> dict:
    """The profile's values for what a notebook declares, when it trains a network by a split."""
    names = (network, split, notebook, "all")
    given = ChainMap(*(chosen.parameters.get(name or "") or {} for name in names))
    return {key: given[key] for key in given if key in declared(notebook)}


def _check(chosen: Profile) -> None:
    """Raise `ParameterError` for what the profile says and no notebook, split or file knows."""
    place = paths.place(paths.PARAMS / "profiles" / f"{chosen.name}.yaml")
    for split in chosen.networks.keys() - splits.SPLITS.keys():
        near = reading.suggestion(split, splits.SPLITS)
        raise ParameterError(f"{place}: split {split!r} is unknown; {near}")
    for name, values in chosen.parameters.items():
        concerned = reading.notebooks() if name == "all" or name in splits.SPLITS else [name]
        if name in parameters.names("networks"):
            concerned = [parameters.network(name)["notebook"]]
        known = {key for one in concerned for key in declared(one)}
        where = f"notebook {concerned[0]}" if len(concerned) == 1 else "any notebook"
        for key, value in (values or {}).items():
            if key not in known:
                near = reading.suggestion(key, known)
                raise ParameterError(f"{place}: {key!r} is no parameter of {where}; {near}")
            for one in concerned:
                if wrong := reading.misfit(key, value, declared(one).get(key, "")):
                    raise ParameterError(f"{place}: {wrong} (notebook {one})")
    trained = {name for names in chosen.networks.values() for name in names}
    training = {parameters.network(name)["notebook"] for name in trained}
    for name in set(chosen.notebooks) - training:
        if name.startswith(TRAINING) and not _given(chosen, name).get("replay"):
            cure = "name its networks under `networks`, or give it `replay: true`"
            raise ParameterError(f"{place}: notebook {name} trains; {cure}")
    parameters.aggregates()
