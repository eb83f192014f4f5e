"""Profiles, network files and notebook parameters, read and checked before anything runs."""

import ast
import copy
import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from inspect import formatannotation
from pathlib import Path

import yaml

from fercore import paths
from fercore.data import augmentation

TYPES = {"int": int, "float": (int, float), "str": str, "bool": bool, "list": list, "dict": dict}
NETWORK = {  # what a file in params/networks may hold
    "base": "str",
    "system": "str",
    "notebook": "str",
    "recipe": "str | None",
    "inputs": "list[str]",
    "parameters": "dict",
    "views": "int",
    "model": "str",
    "fine_tuning": "dict[str, str]",
    "teachers": "list[str]",
    "teacher_seeds": "list[int]",
    "soft_labels": "str",
    "needs": "str",
    "published_parameters": "int",
    "published": "dict[str, dict[str, float]] | None",
}


class ParameterError(ValueError):
    """A file in params/ says what cannot be done."""


@dataclass(frozen=True)
class Profile:
    """What one run consists of. `networks` maps a protocol to the networks trained on it;
    `parameters` maps `all`, a notebook, a protocol or a network, the later over the earlier, to
    values that replace a notebook's defaults; `minutes` is measured on two cores, by kind of data
    (synthetic, FER2013) and notebook."""

    name: str
    description: str
    data: str | None = None
    seeds: tuple[int, ...] = (0,)
    notebooks: tuple[str, ...] = ()
    networks: dict[str, list[str]] = field(default_factory=dict)
    parameters: dict[str, dict | None] = field(default_factory=dict)
    minutes: dict[str, dict[str, float]] = field(default_factory=dict)
    requires_fer2013: bool = False


def profiles() -> list[str]:
    """Names of the profiles in params/profiles."""
    return sorted(path.stem for path in (paths.PARAMS / "profiles").glob("*.yaml"))


def profile(name: str) -> Profile:
    """Read params/profiles/<name>.yaml. Raises `ParameterError` for an unknown profile or key, or a
    value of a wrong type."""
    path = paths.PARAMS / "profiles" / f"{name}.yaml"
    if name not in profiles():
        raise ParameterError(f"profile {name}: unknown; there are {', '.join(profiles())}")
    content = read_yaml(path)
    known = annotations(Profile) | {"seeds": "list[int]", "notebooks": "list[str]"}
    del known["name"]
    check(place(path), content, known)
    lists = {key: tuple(content[key]) for key in ("seeds", "notebooks") if key in content}
    return Profile(**{"name": name, "description": ""} | content | lists)


def network(name: str) -> dict:
    """Read params/networks/<name>.yaml. Raises `ParameterError` when there is none or it says what
    cannot be done."""
    path = paths.PARAMS / "networks" / f"{name}.yaml"
    if not path.exists():
        raise ParameterError(
            f"network {name!r}: no {place(path)}; {suggestion(name, network_names())}"
        )
    return copy.deepcopy(
        _read_once(path, path.stat().st_mtime_ns)
    )  # a report asks hundreds of times


@cache
def _read_once(path: Path, _changed: int) -> dict:
    content = read_yaml(path)
    own_model = "model" in content  # which is built already
    check(
        place(path),
        content,
        NETWORK,
        needed=["notebook", "recipe", "inputs"] + ["base"] * (not own_model),
    )
    if content.get("views", 2) not in augmentation.VIEWS:
        known = ", ".join(map(str, augmentation.VIEWS))
        raise ParameterError(f"{place(path)}: views {content['views']!r} is none of {known}")
    return content


def lacking(content: dict) -> str | None:
    """What a network of this file needs and is not installed, and how to get it; None when it can
    be trained."""
    if "landmarks" not in content.get("inputs", ()):
        return None
    from fercore.features import landmarks  # not above: its imports take seconds

    if not landmarks.available():
        return "needs landmarks: pip install dlib-bin face_recognition_models"
    return None


def network_names() -> list[str]:
    """Networks that have a file in params/networks."""
    return sorted(path.stem for path in (paths.PARAMS / "networks").glob("*.yaml"))


def read_yaml(path: Path) -> dict:
    """A YAML file whose top level is a mapping. Raises `ParameterError` naming the line at
    fault."""
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ParameterError(
            f"{place(path)}{line}: not YAML ({getattr(error, 'problem', error)})"
        ) from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise ParameterError(f"{place(path)}: keys and values expected, found {found}")
    return content


def check(where: str, content: dict, known: Mapping[str, str], needed: Iterable[str] = ()) -> None:
    """Check what was read from a file; `known`: key -> annotation. Raises `ParameterError`, which
    begins with `where`, for an unknown key, a value of a wrong type, or a `needed` key that is
    missing."""
    for key, value in content.items():
        if key not in known:
            raise ParameterError(f"{where}: unknown key {key!r}; {suggestion(key, known)}")
        if wrong := misfit(key, value, known[key]):
            raise ParameterError(f"{where}: {wrong}")
    for key in needed:
        if key not in content:
            raise ParameterError(f"{where}: needs `{key}`")


def annotations(described: type) -> dict[str, str]:
    """The fields of a dataclass: name -> annotation as written."""
    return {one.name: formatannotation(one.type) for one in fields(described)}


def notebooks() -> list[str]:
    """Names of the notebooks, in the order of the series."""
    return sorted(path.stem for path in paths.NOTEBOOKS.glob("[0-9]*.ipynb"))


@cache
def declared(notebook: str) -> dict[str, str]:
    """Parameters that a notebook declares: name -> annotation as written ('' when there is
    none)."""
    found = {}
    for cell in cells(notebook):
        if "parameters" in cell["metadata"].get("tags", []):
            for node in ast.parse("".join(cell["source"])).body:
                if isinstance(node, ast.AnnAssign):
                    found[node.target.id] = ast.unparse(node.annotation)
                elif isinstance(node, ast.Assign):
                    found |= {target.id: "" for target in node.targets}
    return found


def defaults(notebook: str) -> dict:
    """Parameters that a notebook declares with a type: name -> default."""
    source = "\n".join(
        "".join(cell["source"])
        for cell in cells(notebook)
        if "parameters" in cell["metadata"].get("tags", [])
    )
    return {
        node.target.id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign)
    }


def cells(notebook: str) -> list[dict]:
    """The cells of a notebook. Raises `ParameterError` when there is no such notebook."""
    path = paths.NOTEBOOKS / f"{notebook}.ipynb"
    if not path.exists():
        raise ParameterError(
            f"notebook {notebook!r}: no {place(path)}; {suggestion(notebook, notebooks())}"
        )
    return json.loads(path.read_text())["cells"]


@cache
def modules_used(notebook: str) -> tuple[Path, ...]:
    """Modules of fercore that a notebook imports, and those that these import."""
    source = "\n".join("".join(c["source"]) for c in cells(notebook) if c["cell_type"] == "code")
    source = re.sub(r"(?m)^\s*[%!].*$", "", source)  # magics
    waiting, found = set(_imported(source)), set()
    while waiting:
        path = paths.ROOT.joinpath(*waiting.pop().split(".")).with_suffix(".py")
        if path.exists() and path not in found:
            found.add(path)
            waiting |= _imported(path.read_text())
    return tuple(sorted(found))


@cache
def _imported(source: str) -> frozenset[str]:
    """Dotted names of what may be modules of fercore."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fercore":
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def misfit(name: str, value: object, annotation: str) -> str | None:
    """What of the YAML value called `name` is not of the annotated type, and what to write; None
    when all of it is.

    Understood are int, float (a whole number too), str, bool, list[...], dict[..., ...], which is
    asked for its values only, Optional[...] and ... | None; any other annotation takes whatever is
    given.
    """
    plain = (
        annotation[9:-1]
        if annotation.startswith("Optional[")
        else annotation.removesuffix(" | None")
    )
    outer, _, inner = plain.removesuffix("]").partition("[")
    outer = outer.lower()
    if (value is None and plain != annotation) or outer not in TYPES:
        return None
    if not isinstance(value, TYPES[outer]) or (isinstance(value, bool) and outer != "bool"):
        return f"{name} is {'empty' if value is None else repr(value)}, {annotation} expected{_cure(value, outer)}"
    parts = []
    if outer == "list":
        parts = [(name, item, inner) for item in value]
    elif outer == "dict":
        parts = [(f"{name}: {key}", item, inner.partition(", ")[2]) for key, item in value.items()]
    return next(filter(None, (misfit(*part) for part in parts)), None)


def _cure(value: object, wanted: str) -> str:
    """How to write a value that is meant for another type than YAML takes it for; '' when that is
    not known."""
    if wanted == "list" and isinstance(value, (int, float, str)):
        return f"; write [{value}]"
    try:
        number = float(value) if isinstance(value, str) and wanted in ("int", "float") else math.nan
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    written = yaml.safe_dump(int(number) if number.is_integer() else number).split()[0]
    return f"; YAML takes it for text: write {written}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """'did you mean ...?' when a known word is near, else the list of the known words."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"


def place(path: Path) -> str:
    """A path as messages name it: from the project's folder."""
    return str(path.relative_to(paths.ROOT)) if path.is_relative_to(paths.ROOT) else path.name
