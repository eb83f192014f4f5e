"""Values that people write, held against pydantic models: a mistake becomes one line that names
the file, the key, the value and what is valid."""

import copy
import difflib
import math
import re
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from fercore import paths

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class ParameterError(ValueError):
    """What stands in a file or a notebook cannot be done."""


# what PyYAML lets through of values that do not fit their tag, such as `!!int x` or 2001-99-99
OF_TAGS = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], content: dict, where: str, **own: str) -> Model:
    """The content of a file as `model`; `own` values are given by the program, never by the file.
    Raises `ParameterError` that begins with `where`."""
    for key in own.keys() & content.keys():
        raise ParameterError(f"{where}: {unknown(key, model.model_fields.keys() - own.keys())}")
    try:
        return model.model_validate(content | own)
    except ValidationError as error:
        raise ParameterError(f"{where}: {mistake(error, model)}") from None


def mistake(error: ValidationError, model: Any, *at: str) -> str:
    """The first mistake of several in words; one that is not a missing key, where there is one.
    `model` was not fulfilled; it stands at the keys `at`."""
    found = error.errors(include_url=False)
    first = next((one for one in found if one["type"] != "missing"), found[0])
    path = [short(str(part)) for part in (*at, *first["loc"]) if not isinstance(part, int)]
    *outer, key = path or [""]
    before = "".join(f"{part}: " for part in outer)
    kind, value, message = first["type"], first["input"], first["msg"].removeprefix("Input ")
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return before + unknown(key, _keys(model, outer))
    if kind == "missing":
        return f"{before}needs `{key}`"
    if kind == "value_error":
        return f"{': '.join(path)}: " * bool(path) + str(first["ctx"]["error"])
    return f"{before}{key} is {shown(value)}: {message}{_cure(value, kind, message)}"


def unknown(key: str, known: Iterable[str]) -> str:
    """What to say of a key that is none of those `known`."""
    return f"unknown key {shown(key)}; {suggestion(key, known)}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """'did you mean ...?' when a known word is near, else the list of the known words."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"


def shown(value: object) -> str:
    """A value as messages echo it: at most 80 characters, all printable."""
    return "empty" if value is None else short(repr(value))


def short(text: str) -> str:
    """At most 80 characters of a text, all printable."""
    text = "".join(one if one.isprintable() else " " for one in text[:81])
    return text if len(text) <= 80 else f"{text[:79]}…"


def explained(model: Any) -> str:
    """A Markdown table of a model's keys: value, default, meaning; without those that have no
    description, as no file gives them."""
    schema, fields = TypeAdapter(model).json_schema(), model.__pydantic_fields__
    rows = ["| key | value | without it | meaning |", "|---|---|---|---|"]
    for name, one in schema["properties"].items():
        if "description" in one:
            default = fields[name].get_default(call_default_factory=True)
            missing = "needed" if fields[name].is_required() else f"`{_as_yaml(default)}`"
            meaning = " ".join(one["description"].split())
            rows.append(f"| `{name}` | {valid(one)} | {missing} | {meaning} |")
    return "\n".join(rows)


def valid(schema: dict) -> str:
    """What a part of a JSON schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(map(valid, schema["anyOf"]))
    if words := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{word}`" for word in words)
    if schema.get("type") == "array":
        return f"list of {valid(schema['items'])}"
    kinds = {"integer": "whole number", "number": "number", "string": "text", "null": "`null`"}
    kind = kinds.get(schema.get("type", ""), "mapping")
    kind = "true or false" if schema.get("type") == "boolean" else kind
    bounds = {
        "exclusiveMinimum": "above",
        "minimum": "at least",
        "exclusiveMaximum": "below",
        "maximum": "at most",
    }
    limits = [f"{word} {schema[key]}" for key, word in bounds.items() if key in schema]
    return f"{kind} {' and '.join(limits)}" if limits else kind


def read_yaml(path: Path) -> dict:
    """A YAML file whose top level is a mapping. Raises `ParameterError` naming the line at
    fault."""
    try:
        state = path.stat()
    except OSError as error:
        raise ParameterError(f"{place(path)}: cannot be read ({error.strerror})") from error
    # kept, as reports ask hundreds of times
    return copy.deepcopy(_read_once(path, state.st_mtime_ns, state.st_size))


@cache
def _read_once(path: Path, _changed: int, _size: int) -> dict:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"{place(path)}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, *OF_TAGS) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = short(str(getattr(error, "problem", None) or error))
        raise ParameterError(f"{place(path)}{line}: not YAML ({problem})") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise ParameterError(f"{place(path)}: keys and values expected, found {found}")
    for key in content:
        if not isinstance(key, str):
            raise ParameterError(f"{place(path)}: key {shown(key)} is no text; put it in quotes")
    return content


def place(path: Path) -> str:
    """A path as messages name it: from the project's folder."""
    return str(path.relative_to(paths.ROOT)) if path.is_relative_to(paths.ROOT) else path.name


def _cure(value: object, kind: str, message: str) -> str:
    """How to write a value that YAML takes for another type than was meant, or the word that was
    meant; '' when that is not known."""
    if kind == "literal_error":
        near = difflib.get_close_matches(str(value), re.findall(r"'([^']*)'", message), n=1)
        return f"; did you mean {near[0]!r}?" if near else ""
    if kind == "bool_type":
        return "; write true or false"
    if kind == "list_type" and isinstance(value, (int, float, str)) and len(str(value)) < 80:
        return f"; write [{value}]"
    if kind == "string_type" and isinstance(value, (int, float)):
        return f"; write '{_as_yaml(value)}'"
    try:
        number = float(value) if isinstance(value, str) and kind != "list_type" else math.nan
    except ValueError:
        return ""
    if kind not in ("int_type", "float_type") or not math.isfinite(number):
        return ""
    written = _as_yaml(int(number) if number.is_integer() else number)
    return f"; YAML takes it for text: write {written}"


def _as_yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def _keys(model: Any, outer: Iterable[str]) -> Collection[str]:
    """The keys of a model, or of the one that stands in it at the keys `outer`."""
    fields = model.__pydantic_fields__
    for key in outer:
        inner = (fields[key].annotation, *get_args(fields[key].annotation)) if key in fields else ()
        for one in inner:
            fields = getattr(one, "__pydantic_fields__", fields)
    return fields.keys()
