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

from fercore import paths, preprocessing


class ParameterError(ValueError):
    """A file in params/ says what cannot be done."""


@dataclass(frozen=True)
class Profile:
    """What one run consists of. `networks` maps a protocol to the networks trained on it;
    `parameters` maps `all`, a notebook, a protocol or a network, the later over the earlier, to values that replace a
    notebook's defaults; `minutes` is measured on two cores, by kind of data (synthetic, FER2013) and notebook."""

    name: str
    description: str
    data: str | None = None
    seeds: tuple[int, ...] = (0,)
    notebooks: tuple[str, ...] = ()
    networks: dict[str, list[str]] = field(default_factory=dict)
    parameters: dict[str, dict] = field(default_factory=dict)
    minutes: dict[str, dict[str, float]] = field(default_factory=dict)
    requires_fer2013: bool = False


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
            raise ParameterError(f"{place(path)}: unknown key {key!r}; {suggestion(key, known)}")
    lists = {key: tuple(content[key]) for key in ("seeds", "notebooks") if key in content}
    return Profile(**{"name": name, "description": ""} | content | lists)


def network(name: str) -> dict:
    """Read params/networks/<name>.yaml. Raises `ParameterError` when there is none or it says what cannot be done."""
    path = paths.PARAMS / "networks" / f"{name}.yaml"
    if not path.exists():
        raise ParameterError(f"network {name!r}: no {place(path)}; {suggestion(name, network_names())}")
    return copy.deepcopy(_read_once(path, path.stat().st_mtime_ns))  # a report asks hundreds of times


@cache
def _read_once(path: Path, _changed: int) -> dict:
    content = read_yaml(path)
    if content.get("views", 2) not in preprocessing.VIEWS:
        known = ", ".join(map(str, preprocessing.VIEWS))
        raise ParameterError(f"{place(path)}: views {content['views']!r} is none of {known}")
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
        raise ParameterError(f"{place(path)}{line}: not YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(content, dict):
        raise ParameterError(f"{place(path)}: keys and values expected, found {type(content).__name__}")
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


def defaults(notebook: str) -> dict:
    """Parameters that a notebook declares with a type: name -> default."""
    source = "\n".join("".join(cell["source"]) for cell in cells(notebook)
                       if "parameters" in cell["metadata"].get("tags", []))
    return {node.target.id: ast.literal_eval(node.value) for node in ast.parse(source).body
            if isinstance(node, ast.AnnAssign)}


def cells(notebook: str) -> list[dict]:
    """The cells of a notebook. Raises `ParameterError` when there is no such notebook."""
    path = paths.NOTEBOOKS / f"{notebook}.ipynb"
    if not path.exists():
        raise ParameterError(f"notebook {notebook!r}: no {place(path)}; {suggestion(notebook, notebooks())}")
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


def place(path: Path) -> str:
    """A path as messages name it: from the project's folder."""
    return str(path.relative_to(paths.ROOT)) if path.is_relative_to(paths.ROOT) else path.name
