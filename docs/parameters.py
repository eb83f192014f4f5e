"""Writes docs/parameters.md, the page of all keys, from the models in fercore/config."""

from pathlib import Path

import yaml
from pydantic import TypeAdapter

from fercore.config import parameters, recipes

INTRODUCTION = """# Parameters

Every key of every file in `params/`, from the models in `fercore/config` that check them: a test
holds this page to them, and `python docs/parameters.py` writes it. A misspelt key, a value of
another type or out of range is one line before anything runs. A recipe may name another as
`extends`: it then says only what differs. Parameters of notebooks stand, each with a comment, in
the notebooks' first code cell; a profile's `parameters` replace them."""
MODELS = {
    "params/profiles/": parameters.Profile,
    "params/networks/": parameters.Network,
    "`fine_tuning` in params/networks/": parameters.FineTuning,
    "params/recipes/": recipes.Recipe,
    "params/aggregates.yaml, by the aggregate's name": parameters.Aggregate,
    "params/changes.yaml, by the change's key": parameters.Change,
}
KINDS = {"integer": "whole number", "number": "number", "string": "text", "null": "`null`"}
BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "at least",
    "exclusiveMaximum": "below",
    "maximum": "at most",
}


def page() -> str:
    """The whole page."""
    tables = [f"## {title}\n\n{table(model)}" for title, model in MODELS.items()]
    return "\n\n".join([INTRODUCTION, *tables]) + "\n"


def table(model) -> str:
    """A model's keys: value, default, meaning; without those that have no description, as no file
    gives them."""
    schema, fields = TypeAdapter(model).json_schema(), model.__pydantic_fields__
    rows = ["| key | value | without it | meaning |", "|---|---|---|---|"]
    for name, one in schema["properties"].items():
        if "description" in one:
            missing = "needed" if fields[name].is_required() else f"`{default(fields[name])}`"
            meaning = " ".join(one["description"].split())
            rows.append(f"| `{name}` | {valid(one)} | {missing} | {meaning} |")
    return "\n".join(rows)


def default(field) -> str:
    """A field's default, as YAML writes it."""
    value = field.get_default(call_default_factory=True)
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def valid(schema: dict) -> str:
    """What a part of a JSON schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(map(valid, schema["anyOf"]))
    if words := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{word}`" for word in words)
    if schema.get("type") == "array":
        return f"list of {valid(schema['items'])}s"
    if schema.get("type") == "boolean":
        return "true or false"
    kind = KINDS.get(schema.get("type", ""), "mapping")
    limits = [f"{word} {schema[key]}" for key, word in BOUNDS.items() if key in schema]
    return f"{kind} {' and '.join(limits)}" if limits else kind


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page())
