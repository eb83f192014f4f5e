"""What people write in YAML files and in the parameters cells of notebooks, read and checked: a
mistake is one line that names the file, the key, the value and what is valid."""

import ast
import difflib
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Optional, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from fercore import paths
from fercore.artifacts import printable

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)
PLAIN = (int, float, str, bool, list, dict)
TYPES: dict[str, Any] = {"Optional": Optional} | {one.__name__: one for one in PLAIN}
Model = TypeVar("Model")


class ParameterError(ValueError):
    """What stands in a file or a notebook cannot be done."""


def checked(kind: type[Model], content: dict, where: str = "", **own: str) -> Model:
    """The content of a file as a pydantic model or dataclass; `own` values are given by the
    program, never by the file. Raises `ParameterError` that begins with `where`."""
    if not isinstance(content, dict):
        raise ParameterError(f"{where} is {shown(content)}: should be keys with values")
    start = f"{where}: " if where else ""
    known = kind.__pydantic_fields__.keys() - own.keys()  # type: ignore[attr-defined]
    for key in (key for key in content if key not in known):
        raise ParameterError(f"{start}unknown key {shown(key)}; {suggestion(key, known)}")
    try:
        return kind(**content, **own)
    except ValidationError as error:
        raise ParameterError(start + mistake(error)) from None


def mistake(error: ValidationError, *at: str) -> str:
    """The first mistake of several in words, in a value that stands at the keys `at`."""
    # a key that is missing is named last, as others may be that key misspelt
    first = min(error.errors(include_url=False), key=lambda one: one["type"] == "missing")
    path = [printable(part) for part in (*at, *first["loc"]) if not isinstance(part, int)]
    if first["type"] == "missing":
        return ": ".join([*path[:-1], f"needs `{path[-1]}`"])
    if first["type"] == "extra_forbidden":
        return ": ".join([*path[:-1], f"unknown key {shown(path[-1])}"])
    if first["type"] == "value_error":
        return ": ".join([*path, str(first["ctx"]["error"])])
    return f"{': '.join(path)} is {shown(first['input'])}: {first['msg'].removeprefix('Input ')}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """'did you mean ...?' when a known word is near, else the list of the known words."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"


def shown(value: object) -> str:
    """A value as messages echo it: at most 80 characters, all printable."""
    return "empty" if value is None else printable(repr(value))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which 1e-3 is a number, as in YAML 1.2 and Python."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict:
    """A YAML file of keys and values. Raises `ParameterError` naming the line at fault."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ParameterError(f"{paths.place(path)}: cannot be read ({error.strerror})") from error
    except Exception as error:  # of `!!int x` or 2001-99-99 PyYAML raises errors of any kind
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = printable(getattr(error, "problem", None) or error)
        raise ParameterError(f"{paths.place(path)}{line}: not YAML ({problem})") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise ParameterError(f"{paths.place(path)}: keys and values expected, found {found}")
    return content


def notebooks() -> list[str]:
    """Names of the notebooks, in the order of the series."""
    return sorted(path.stem for path in paths.NOTEBOOKS.glob("[0-9]*.ipynb"))


def cells(notebook: str) -> list[dict]:
    """The cells of a notebook. Raises `ParameterError` when there is no such notebook."""
    if notebook not in notebooks():
        near = suggestion(notebook, notebooks())
        raise ParameterError(f"notebook {shown(notebook)}: no such file; {near}")
    return json.loads((paths.NOTEBOOKS / f"{notebook}.ipynb").read_text())["cells"]


@cache
def declared(notebook: str) -> dict[str, str]:
    """Parameters that a notebook declares, in its cell tagged 'parameters', with their types."""
    return {
        ast.unparse(node.target): ast.unparse(node.annotation)
        for cell in cells(notebook)
        if "parameters" in cell["metadata"].get("tags", [])
        for node in ast.parse("".join(cell["source"])).body
        if isinstance(node, ast.AnnAssign) and node.value
    }


def misfit(name: str, value: object, annotation: str) -> str | None:
    """What is wrong with the value called `name` for a parameter of this annotation; None when it
    fits, or where the annotation has other types than `TYPES`."""
    if not annotation or not set(re.findall(r"\w+", annotation)) <= TYPES.keys():
        return None
    kind = eval(annotation, {"__builtins__": {}}, TYPES)
    try:
        TypeAdapter(kind, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        return mistake(error, name)
    return None
