"""What a profile runs: the executions of its notebooks, their parameters, and which waits for
which."""

from collections import ChainMap
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from fercore import artifacts, paths
from fercore.config import parameters, recipes
from fercore.config.parameters import ParameterError, Profile, declared
from fercore.data import splits

TRAINING, REPORTING, RECOGNISING = (
    "1",
    "2",
    "4",
)  # first digit of the notebooks that train, that read predictions (from
# 3 on once, not once a protocol), and that need none: they use the committed model
ABOUT = {
    "22_batch_normalisation": "official_five",
    "23_hyperparameter_search": "official_five",
}  # a protocol of theirs
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
    protocols `left_out`.

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


def _training_jobs(chosen: Profile, left_out: Container[str]) -> list[Job]:
    found = []
    for protocol, names in chosen.networks.items():
        for name in names if protocol not in left_out else ():
            content = parameters.network(name)
            if parameters.lacking(content):
                continue
            notebook = content["notebook"]
            files = [paths.PARAMS / "networks" / f"{name}.yaml"]
            if recipe := _recipe(chosen, protocol, name):
                files.append(recipes.path_of(recipe))
            if content.get("model"):
                files.append(paths.ROOT / content["model"])
            for seed in chosen.seeds:
                path = artifacts.prediction_path(Path(), protocol, name, seed)
                taught = [
                    artifacts.prediction_path(Path(), protocol, teacher, own)
                    for teacher in content.get("teachers", ())
                    if teacher in names
                    for own in content.get("teacher_seeds", [seed])
                    if own in chosen.seeds
                ]
                outputs = (
                    () if content.get("needs") else (path, path.with_suffix(".json"))
                )  # it may have to be skipped
                found.append(
                    _job(
                        chosen,
                        notebook,
                        protocol=protocol,
                        network=name,
                        seed=seed,
                        inputs=files + taught,
                        outputs=outputs,
                    )
                )
    return sorted(found, key=lambda job: job.notebook)


def _reporting_jobs(
    chosen: Profile, notebook: str, predictions: list[Path], before: list[Job]
) -> list[Job]:
    """Jobs of a notebook that reads predictions: one a protocol for 2x that declare it, else one.
    Protocols of a share of the training faces are compared by one notebook of their own."""
    before = [
        job
        for job in before
        if job.notebook.startswith(REPORTING) or (job.trains and not job.outputs)
    ]
    if not (notebook.startswith(REPORTING) and "protocol" in declared(notebook)):
        after = tuple(job.name for job in before)
        return [_job(chosen, notebook, inputs=predictions, after=after)]
    found = []
    for protocol in dict.fromkeys(path.parts[-3] for path in predictions):
        if splits.PROTOCOLS[protocol].share < 1:
            continue
        own = [path for path in predictions if path.parts[-3] == protocol]
        after = tuple(
            job.name for job in before if job.parameters.get("protocol", protocol) == protocol
        )
        found.append(_job(chosen, notebook, protocol=protocol, inputs=own, after=after))
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
    *,
    inputs: Iterable[Path] = (),
    outputs: tuple[Path, ...] = (),
    after: tuple[str, ...] = (),
    **own: str | int,
) -> Job:
    """A job with the parameters that its notebook declares: the profile's, then its `own`."""
    given = _given(chosen, notebook, own.get("protocol"), own.get("network"))
    values = {"profile": chosen.name, "data": chosen.data} | given | own
    if chosen.data is None:
        del values["data"]  # found by the notebook itself: no path of the machine in any report
    told = {key: value for key, value in values.items() if key in declared(notebook)}
    parts = [notebook, *(f"seed{value}" if key == "seed" else value for key, value in own.items())]
    files = [paths.NOTEBOOKS / f"{notebook}.ipynb", *inputs]
    if not notebook.startswith(
        TRAINING
    ):  # cheap to run again, so a change of the code behind it counts
        files += parameters.modules_used(notebook)
    if not chosen.networks and notebook in TABLES:
        folder = paths.outputs(chosen.name)
        files += sorted(
            path.relative_to(folder) for path in (folder / "tables").glob(TABLES[notebook])
        )
    return Job(".".join(parts), notebook, told, after, tuple(files), outputs)


def _given(chosen: Profile, notebook: str, protocol: str | None, network: str | None) -> dict:
    """The profile's values for the parameters that a notebook declares, when it trains a network by
    a protocol."""
    given = ChainMap(
        *(chosen.parameters.get(key) or {} for key in (network, protocol, notebook, "all"))
    )
    return {key: given[key] for key in given if key in declared(notebook)}


def _recipe(chosen: Profile, protocol: str, network: str) -> str | None:
    """The recipe that a network follows on a protocol: the profile's, where its notebook takes one,
    else its own."""
    content = parameters.network(network)
    return _given(chosen, content["notebook"], protocol, network).get("recipe") or content.get(
        "recipe"
    )


def _selected(chosen: Profile) -> list[str]:
    return list(chosen.notebooks) or [
        name for name in parameters.notebooks() if not name.startswith(TRAINING)
    ]


def _about(chosen: Profile, notebook: str) -> str | None:
    """The only protocol that a notebook trains on beside those of the profile, if there is one."""
    return _given(chosen, notebook, None, None).get("task", ABOUT.get(notebook))


def _check_parameters(chosen: Profile) -> None:
    place = parameters.place(paths.PARAMS / "profiles" / f"{chosen.name}.yaml")
    for protocol in chosen.networks:
        if protocol not in splits.PROTOCOLS:
            near = parameters.suggestion(protocol, splits.PROTOCOLS)
            raise ParameterError(f"{place}: protocol {protocol!r} is unknown; {near}")
    for name, values in chosen.parameters.items():
        anywhere = name == "all" or name in splits.PROTOCOLS
        notebook = (
            parameters.network(name)["notebook"] if name in parameters.network_names() else name
        )
        concerned = parameters.notebooks() if anywhere else [notebook]
        known = {key for one in concerned for key in declared(one)}
        where = "any notebook" if anywhere else f"notebook {notebook}"
        for key, value in (values or {}).items():
            if key not in known:
                near = parameters.suggestion(key, known)
                raise ParameterError(f"{place}: {key!r} is no parameter of {where}; {near}")
            for one in concerned:
                if wrong := parameters.misfit(key, value, declared(one).get(key, "")):
                    raise ParameterError(f"{place}: {wrong} (notebook {one})")
    for protocol, names in chosen.networks.items():
        for name in names:
            second = parameters.network(name).get("fine_tuning", {}).get("recipe")
            for recipe in (_recipe(chosen, protocol, name), second):
                if recipe and recipes.path_of(recipe).is_file():
                    recipes.read(recipe)
    from fercore.evaluation import aggregation  # not above: it imports pandas

    aggregation.read_aggregates()
