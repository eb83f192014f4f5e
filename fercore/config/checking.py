"""Values that people write, held against pydantic models: a mistake becomes one line that names
the file, the key, the value and what is valid."""

import copy
import difflib
import math
import re
import types
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from fercore import paths

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
TYPES = {  # pydantic's words in the names of its errors, and ours
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "list": "a list",
    "dict": "keys with values",
    "model": "keys with values",
}
KINDS = {int: "whole number", float: "number", str: "text", bool: "true or false", dict: "mapping"}


class ParameterError(ValueError):
    """What stands in a file or a notebook cannot be done."""


class Checked(BaseModel):
    """A file, or a part of one: unknown keys are refused, no type is taken for another."""

    model_config = ConfigDict(**STRICT, frozen=True)


Model = TypeVar("Model", bound=Checked)


def checked(model: type[Model], content: dict, where: str, **own: str) -> Model:
    """The content of a file as `model`; `own` values are given by the program, never by the file.
    Raises `ParameterError` that begins with `where`."""
    for key in own.keys() & content.keys():
        raise ParameterError(f"{where}: {unknown(key, model.model_fields.keys() - own.keys())}")
    try:
        return model.model_validate(content | own)
    except ValidationError as error:
        raise ParameterError(f"{where}: {mistake(error, model.model_fields)}") from None


def mistake(error: ValidationError, fields: Mapping[str, FieldInfo], *at: str) -> str:
    """The first mistake of several in words; one that is not a missing key, where there is one.
    `fields` are those of the model that was not fulfilled, `at` keys at which it stands."""
    found = error.errors(include_url=False)
    first = next((one for one in found if one["type"] != "missing"), found[0])
    path = (*at, *first["loc"])
    for part in path[:-1]:
        fields = _within(fields, part)
    kind, value, context = first["type"], first["input"], first.get("ctx", {})
    key = str(path[-1]) if path else ""
    place = ": ".join(str(part) for part in path if not isinstance(part, int))
    outer = place.removesuffix(key)
    if kind in ("extra_forbidden", "unexpected_keyword_argument", "invalid_key"):
        return outer + unknown(key, fields)
    if kind == "missing":
        return f"{outer}needs `{key}`"
    if kind == "value_error":
        return f"{place}: {context['error']}" if place else str(context["error"])
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"]) or re.findall(
            r"\d+", context["expected"]
        )
        near = difflib.get_close_matches(str(value), words, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        return f"{place} {shown(value)} is none of {', '.join(words)}{meant}"
    if kind.endswith("_type") and (word := kind.removesuffix("_type")) in TYPES:
        return f"{place} is {shown(value)}, {TYPES[word]} expected{_cure(value, word)}"
    ranged = kind.startswith(("greater", "less")) and key in fields
    if ranged and (valid := limits(fields[key])):
        return f"{place} is {shown(value)}; it must be {valid}"
    return f"{place} is {shown(value)}; {first['msg'][0].lower()}{first['msg'][1:]}"


def unknown(key: str, known: Iterable[str]) -> str:
    """What to say of a key that is none of those `known`."""
    return f"unknown key {shown(key)}; {suggestion(key, known)}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """'did you mean ...?' when a known word is near, else the list of the known words."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"


def shown(value: object) -> str:
    """A value as messages echo it: at most 80 characters, all printable."""
    text = "empty" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def limits(field: FieldInfo) -> str:
    """The range of a number in words, '' where there is none."""
    bounds = {
        name: getattr(one, name)
        for one in _constraints(field)
        for name in ("gt", "ge", "lt", "le")
        if getattr(one, name, None) is not None
    }
    if {"ge", "le"} <= bounds.keys():
        return f"{bounds['ge']} to {bounds['le']}"
    words = {"gt": "above {}", "ge": "{} or more", "lt": "below {}", "le": "at most {}"}
    return " and ".join(words[name].format(bound) for name, bound in bounds.items())


def explained(fields: Mapping[str, FieldInfo]) -> str:
    """A Markdown table of keys: value, default, meaning; the fields without a description, which
    no file gives, are left out."""
    rows = ["| key | value | without it | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        if field.description:
            range_ = limits(field)
            value = kind(field.annotation) + (f", {range_}" if range_ else "")
            given = field.get_default(call_default_factory=True)
            missing = "needed" if field.is_required() else f"`{_as_yaml(given)}`"
            rows.append(f"| `{name}` | {value} | {missing} | {field.description} |")
    return "\n".join(rows)


def kind(annotation: Any) -> str:
    """A type in words for the table of keys."""
    outer, inner = get_origin(annotation), get_args(annotation)
    if outer is Annotated:
        return kind(inner[0])
    if outer is Literal:
        return ", ".join(f"`{word}`" for word in inner)
    if outer in (Union, types.UnionType):
        return " or ".join("`null`" if one is type(None) else kind(one) for one in inner)
    if outer is list:
        return f"list of {kind(inner[0])}"
    if outer is dict:
        return f"mapping of {kind(inner[0])} to {kind(inner[1])}"
    return KINDS.get(annotation, "mapping")


def read_yaml(path: Path) -> dict:
    """A YAML file whose top level is a mapping. Raises `ParameterError` naming the line at
    fault."""
    return copy.deepcopy(_read_once(path, path.stat().st_mtime_ns))  # reports ask hundreds of times


@cache
def _read_once(path: Path, _changed: int) -> dict:
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", error)
        raise ParameterError(f"{place(path)}{line}: not YAML ({problem})") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise ParameterError(f"{place(path)}: keys and values expected, found {found}")
    return content


def place(path: Path) -> str:
    """A path as messages name it: from the project's folder."""
    return str(path.relative_to(paths.ROOT)) if path.is_relative_to(paths.ROOT) else path.name


def _cure(value: object, wanted: str) -> str:
    """How to write a value that YAML takes for another type than was meant; '' when that is not
    known."""
    if wanted == "list" and isinstance(value, (int, float, str)):
        return f"; write [{value}]" if len(str(value)) < 80 else ""
    if wanted == "string" and isinstance(value, (int, float)):
        return f"; write '{_as_yaml(value)}'"
    try:
        number = float(value) if isinstance(value, str) and wanted in ("int", "float") else math.nan
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    written = _as_yaml(int(number) if number.is_integer() else number)
    return f"; YAML takes it for text: write {written}"


def _as_yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def _within(fields: Mapping[str, FieldInfo], key: object) -> Mapping[str, FieldInfo]:
    """The fields of the model that stands at a key, or within the mapping there; else `fields`."""
    field = fields.get(str(key))
    for one in (field.annotation, *get_args(field.annotation)) if field else ():
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one.model_fields
    return fields


def _constraints(field: FieldInfo) -> list[Any]:
    """What limits the values of a field; of one that may be null as well."""
    alternatives = [one for one in get_args(field.annotation) if get_origin(one) is Annotated]
    inner = [info for one in alternatives for info in get_args(one)[1:]]
    return [*field.metadata, *(one for info in inner for one in info.metadata)]
