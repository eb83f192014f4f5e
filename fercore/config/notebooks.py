"""Notebooks as files: the parameters that they declare, and the modules that they use."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Optional

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fercore import paths
from fercore.config import checking
from fercore.config.checking import ParameterError

TYPES: dict[str, Any] = {"Optional": Optional} | {
    one.__name__: one for one in (int, float, str, bool, list, dict)
}


def names() -> list[str]:
    """Names of the notebooks, in the order of the series."""
    return sorted(path.stem for path in paths.NOTEBOOKS.glob("[0-9]*.ipynb"))


def cells(notebook: str) -> list[dict]:
    """The cells of a notebook. Raises `ParameterError` when there is no such notebook."""
    if notebook not in names():
        near = checking.suggestion(notebook, names())
        raise ParameterError(f"notebook {checking.shown(notebook)}: no such file; {near}")
    return json.loads((paths.NOTEBOOKS / f"{notebook}.ipynb").read_text())["cells"]


@cache
def declared(notebook: str) -> dict[str, str]:
    """Parameters that a notebook declares: name -> annotation as written ('' when there is
    none)."""
    return {name: annotation for name, annotation, _ in _parameters(notebook)}


def defaults(notebook: str) -> dict[str, Any]:
    """Parameters that a notebook declares with a type: name -> default."""
    return {name: ast.literal_eval(node) for name, kind, node in _parameters(notebook) if kind}


def misfit(name: str, value: object, annotation: str) -> str | None:
    """What is wrong with the value called `name` for a parameter of this annotation, and what to
    write; None when it fits, or where the annotation has other types than `TYPES`."""
    used = {node.id for node in ast.walk(ast.parse(annotation)) if isinstance(node, ast.Name)}
    if not used or not used <= TYPES.keys():
        return None
    kind: Any = eval(annotation, {"__builtins__": {}}, TYPES)
    try:
        TypeAdapter(kind, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        return checking.mistake(error, kind, name)
    return None


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


def _parameters(notebook: str) -> Iterator[tuple[str, str, ast.expr]]:
    """Name, annotation and default of each assignment in the cells tagged 'parameters'."""
    for cell in cells(notebook):
        if "parameters" in cell["metadata"].get("tags", []):
            for node in ast.parse("".join(cell["source"])).body:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    if node.value is not None:
                        yield node.target.id, ast.unparse(node.annotation), node.value
                elif isinstance(node, ast.Assign):
                    for target in node.targets:
                        if isinstance(target, ast.Name):
                            yield target.id, "", node.value


@cache
def _imported(source: str) -> frozenset[str]:
    """Dotted names of what may be modules of fercore."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fercore":
            module = node.module or ""
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return frozenset(found)
