"""Which rows of a split's tables are not there, and why."""

from collections import defaultdict

import pandas as pd

from fercore.config import parameters
from fercore.data.splits import SPLITS
from fercore.evaluation import scoring, tables


def not_run(results: pd.DataFrame, split: str) -> dict[str, list[str]]:
    """Why networks and aggregates that belong to this split have no row: reason -> names."""
    there = set(results[results.split == split].network)
    aggregates, found = parameters.aggregates(), defaultdict(list)
    for name, entry in tables.entries().items():
        if name in there or not _belongs(entry, split):
            continue
        if name == parameters.STUDY_ENSEMBLE:
            reason = "needs two networks"
        elif name in aggregates:
            missing = [member for member in aggregates[name].members if member not in there]
            reason = f"lacks {', '.join(missing)}" if missing else f"execute {entry.notebook}"
        else:
            content = parameters.network(name)
            needs = parameters.lacking(content) or (
                f"needs {content['needs']}" if content.get("needs") else None
            )
            reason = needs or f"not trained by {entry.notebook}"
        found[reason].append(name)
    return dict(found)


def incomplete(results: pd.DataFrame, split: str) -> dict[str, list[str]]:
    """Aggregates of this split that are there without some of their optional members: name ->
    those members."""
    there = set(results[results.split == split].network)
    lacking = {
        name: [member for member in aggregate.optional if member not in there]
        for name, aggregate in parameters.aggregates().items()
        if name in there
    }
    return {name: members for name, members in lacking.items() if members}


def _belongs(entry: scoring.Entry, split: str) -> bool:
    """Whether the system published figures on this split, or it is the one that all networks of
    seven classes are compared on."""
    classes = {SPLITS[name].class_names for name in entry.published} or {SPLITS[split].class_names}
    compared_on = split == "official" and classes == {SPLITS[split].class_names}
    return split in entry.published or compared_on
