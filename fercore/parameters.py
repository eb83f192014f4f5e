"""Profiles, network files and notebook parameters, read and checked before anything runs."""
import ast
import copy
import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from fercore import paths, preprocessing, protocols, recipes, runs

TRAINING, REPORTING = "1", "2"  # first digit of the notebooks that train, and of those that run once a protocol


class ParameterError(ValueError):
    """A file in params/ says what cannot be done."""


@dataclass(frozen=True)
class Profile:
    """What one run consists of. `networks` maps a protocol to the networks trained on it;
    `parameters` maps `all`, a notebook or a protocol, the later over the earlier, to values that replace a notebook's
    defaults; `minutes` is measured on two cores, by kind of data (synthetic, FER2013) and notebook."""

    name: str
    description: str
    data: str | None = None
    seeds: tuple[int, ...] = (0,)
    notebooks: tuple[str, ...] = ()
    networks: dict[str, list[str]] = field(default_factory=dict)
    parameters: dict[str, dict] = field(default_factory=dict)
    minutes: dict[str, dict[str, float]] = field(default_factory=dict)
    requires_fer2013: bool = False


@dataclass(frozen=True)
class Job:
    """One execution of one notebook. Paths in `inputs` and `outputs` are relative to the run's folder
    when they belong to it, else absolute; `after` names the jobs that come first."""

    name: str
    notebook: str
    parameters: dict
    after: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()

    @property
    def trains(self) -> bool:
        return self.notebook.startswith(TRAINING)


def profiles() -> list[str]:
    """Names of the profiles in params/profiles."""
    return sorted(path.stem for path in (paths.PARAMS / "profiles").glob("*.yaml"))


def profile(name: str) -> Profile:
    """Read params/profiles/<name>.yaml. Raises `ParameterError` for an unknown profile or key."""
    path = paths.PARAMS / "profiles" / f"{name}.yaml"
    if not path.exists():
        raise ParameterError(f"profile {name}: unknown; there are {', '.join(profiles())}")
    content = read_yaml(path)
    known = [key for key in Profile.__dataclass_fields__ if key != "name"]
    for key in content:
        if key not in known:
            raise ParameterError(f"{_place(path)}: unknown key {key!r}; {suggestion(key, known)}")
    lists = {key: tuple(content[key]) for key in ("seeds", "notebooks") if key in content}
    return Profile(**{"name": name, "description": ""} | content | lists)


def network(name: str) -> dict:
    """Read params/networks/<name>.yaml. Raises `ParameterError` when there is none or it says what cannot be done."""
    path = paths.PARAMS / "networks" / f"{name}.yaml"
    if not path.exists():
        raise ParameterError(f"network {name!r}: no {_place(path)}; {suggestion(name, network_names())}")
    return copy.deepcopy(_read_once(path, path.stat().st_mtime_ns))  # a report asks hundreds of times


@cache
def _read_once(path: Path, _changed: int) -> dict:
    content = read_yaml(path)
    if content.get("views", 2) not in preprocessing.VIEWS:
        known = ", ".join(map(str, preprocessing.VIEWS))
        raise ParameterError(f"{_place(path)}: views {content['views']!r} is none of {known}")
    return content


def lacking(content: dict) -> str | None:
    """What a network of this file needs and is not installed, and how to get it; None when it can be trained."""
    if "landmarks" not in content.get("inputs", ()):
        return None
    from fercore import landmarks  # not above: its imports take seconds

    if not landmarks.available():
        return "needs landmarks: pip install dlib-bin face_recognition_models"
    return None


def network_names() -> list[str]:
    """Networks that have a file in params/networks."""
    return sorted(path.stem for path in (paths.PARAMS / "networks").glob("*.yaml"))


def read_yaml(path: Path) -> dict:
    """A YAML file whose top level is a mapping. Raises `ParameterError` naming the line at fault."""
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ParameterError(f"{_place(path)}{line}: not YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(content, dict):
        raise ParameterError(f"{_place(path)}: keys and values expected, found {type(content).__name__}")
    return content


def notebooks() -> list[str]:
    """Names of the notebooks, in the order of the series."""
    return sorted(path.stem for path in paths.NOTEBOOKS.glob("[0-9]*.ipynb"))


@cache
def declared(notebook: str) -> dict[str, str]:
    """Parameters that a notebook declares: name -> annotation as written ('' when there is none)."""
    found = {}
    for cell in cells(notebook):
        if "parameters" in cell["metadata"].get("tags", []):
            for node in ast.parse("".join(cell["source"])).body:
                if isinstance(node, ast.AnnAssign):
                    found[node.target.id] = ast.unparse(node.annotation)
                elif isinstance(node, ast.Assign):
                    found |= {target.id: "" for target in node.targets}
    return found


def cells(notebook: str) -> list[dict]:
    """The cells of a notebook. Raises `ParameterError` when there is no such notebook."""
    path = paths.NOTEBOOKS / f"{notebook}.ipynb"
    if not path.exists():
        raise ParameterError(f"notebook {notebook!r}: no {_place(path)}; {suggestion(notebook, notebooks())}")
    return json.loads(path.read_text())["cells"]


@cache
def modules_used(notebook: str) -> tuple[Path, ...]:
    """Modules of fercore that a notebook imports, and those that these import."""
    source = "\n".join("".join(c["source"]) for c in cells(notebook) if c["cell_type"] == "code")
    waiting, found = set(_imported(source)), set()
    while waiting:
        path = paths.ROOT / "fercore" / f"{waiting.pop()}.py"
        if path.exists() and path not in found:
            found.add(path)
            waiting |= _imported(path.read_text())
    return tuple(sorted(found))


@cache
def _imported(source: str) -> frozenset[str]:
    lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    found = set()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.ImportFrom) and node.module == "fercore":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fercore."):
            found.add(node.module.split(".")[1])
    return frozenset(found)


def jobs(chosen: Profile) -> list[Job]:
    """Every notebook execution of a profile, checked, in the order of the series.

    Raises `ParameterError` for a key that a notebook does not declare, a value of the wrong type,
    an unknown notebook or network.
    """
    _check_parameters(chosen)
    trained = _training_jobs(chosen)
    predictions = [path for job in trained for path in job.outputs if path.suffix == ".npz"]
    if not trained:
        predictions = _predictions_at_hand(chosen)
    result = [_job(chosen, name) for name in _selected(chosen) if name < TRAINING] + trained
    for name in _selected(chosen):
        if name >= REPORTING:
            result += _reporting_jobs(chosen, name, predictions, result)
    return result


def _training_jobs(chosen: Profile) -> list[Job]:
    found = []
    for protocol, names in chosen.networks.items():
        for name in names:
            content = network(name)
            if lacking(content):
                continue
            notebook = content["notebook"]
            files = [paths.PARAMS / "networks" / f"{name}.yaml"]
            recipe = _given(chosen, notebook, protocol).get("recipe") or content.get("recipe")
            if recipe:
                files.append(recipes.path_of(recipe))
            if content.get("model"):
                files.append(paths.ROOT / content["model"])
            for seed in chosen.seeds:
                path = runs.prediction_path(Path(), protocol, name, seed)
                taught = [runs.prediction_path(Path(), protocol, teacher, seed)
                          for teacher in content.get("teachers", ()) if teacher in names]
                outputs = () if content.get("needs") else (path, path.with_suffix(".json"))  # it may have to be skipped
                found.append(_job(chosen, notebook, protocol=protocol, network=name, seed=seed,
                                  inputs=files + taught, outputs=outputs))
    return sorted(found, key=lambda job: job.notebook)


def _reporting_jobs(chosen: Profile, notebook: str, predictions: list[Path], before: list[Job]) -> list[Job]:
    """Jobs of a notebook that reads predictions: one a protocol for 2x that declare it, else one. Protocols of a share
    of the training faces are compared by one notebook of their own."""
    before = [job for job in before if job.notebook.startswith(REPORTING) or (job.trains and not job.outputs)]
    if not (notebook.startswith(REPORTING) and "protocol" in declared(notebook)):
        after = tuple(job.name for job in before)
        return [_job(chosen, notebook, inputs=predictions, after=after)]
    found = []
    for protocol in dict.fromkeys(path.parts[-3] for path in predictions):
        if protocols.PROTOCOLS[protocol].share < 1:
            continue
        own = [path for path in predictions if path.parts[-3] == protocol]
        after = tuple(job.name for job in before if job.parameters.get("protocol", protocol) == protocol)
        found.append(_job(chosen, notebook, protocol=protocol, inputs=own, after=after))
    return found


def _predictions_at_hand(chosen: Profile) -> list[Path]:
    """Predictions of single networks in the run's folder; those of aggregates are made from them."""
    known = network_names()
    found = runs.list_predictions(paths.outputs(chosen.name))
    return [runs.prediction_path(Path(), *key) for key in found if key[1] in known]


def _job(
    chosen: Profile, notebook: str, *, inputs: Iterable[Path] = (), outputs: tuple[Path, ...] = (),
    after: tuple[str, ...] = (), **own: str | int,
) -> Job:
    """A job with the parameters that its notebook declares: the profile's, then its `own`."""
    values = {"profile": chosen.name, "data": chosen.data} | _given(chosen, notebook, own.get("protocol")) | own
    if chosen.data is None:
        del values["data"]  # found by the notebook itself: no path of the machine in any report
    parameters = {key: value for key, value in values.items() if key in declared(notebook)}
    parts = [notebook, *(f"seed{value}" if key == "seed" else value for key, value in own.items())]
    files = [paths.NOTEBOOKS / f"{notebook}.ipynb", *inputs]
    if not notebook.startswith(TRAINING):  # cheap to run again, so a change of the code behind it counts
        files += modules_used(notebook)
    return Job(".".join(parts), notebook, parameters, after, tuple(files), outputs)


def _given(chosen: Profile, notebook: str, protocol: str | None) -> dict:
    """The profile's values for a notebook by a protocol."""
    given = [chosen.parameters.get(key) or {} for key in ("all", notebook, protocol)]
    return given[0] | given[1] | given[2]


def _selected(chosen: Profile) -> list[str]:
    return list(chosen.notebooks) or [name for name in notebooks() if not name.startswith(TRAINING)]


def _check_parameters(chosen: Profile) -> None:
    place = _place(paths.PARAMS / "profiles" / f"{chosen.name}.yaml")
    everywhere = {key for name in notebooks() for key in declared(name)}
    for protocol in chosen.networks:
        if protocol not in protocols.PROTOCOLS:
            near = suggestion(protocol, protocols.PROTOCOLS)
            raise ParameterError(f"{place}: protocol {protocol!r} is unknown; {near}")
    for notebook, values in chosen.parameters.items():
        any_of_them = notebook == "all" or notebook in protocols.PROTOCOLS
        known = everywhere if any_of_them else declared(notebook)
        where = "any notebook" if any_of_them else f"notebook {notebook}"
        for key, value in (values or {}).items():
            if key not in known:
                raise ParameterError(f"{place}: {key!r} is no parameter of {where}; {suggestion(key, known)}")
            for name in notebooks() if any_of_them else [notebook]:
                if not fits(value, declared(name).get(key, "")):
                    wanted = declared(name)[key]
                    raise ParameterError(f"{place}: {key}: {value!r} is no {wanted}, which notebook {name} wants")


def fits(value: object, annotation: str) -> bool:
    """Whether a YAML value is of the annotated type: int, float, str, bool, list[...], Optional[...]."""
    if annotation.startswith("Optional["):
        return value is None or fits(value, annotation[9:-1])
    if annotation.lower().startswith("list"):
        return isinstance(value, list)
    types = {"int": int, "float": (int, float), "str": str, "bool": bool}
    if isinstance(value, bool) and annotation in types:
        return annotation == "bool"
    return isinstance(value, types.get(annotation, object))


def suggestion(word: str, known: Iterable[str]) -> str:
    """'did you mean ...?' when a known word is near, else the list of the known words."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"


def _place(path: Path) -> str:
    return str(path.relative_to(paths.ROOT)) if path.is_relative_to(paths.ROOT) else path.name
