"""Which rows of a protocol's tables are not there, and why."""

from collections import defaultdict

import pandas as pd

from fercore.config import parameters
from fercore.data.splits import PROTOCOLS
from fercore.evaluation import aggregation, scoring, tables
from fercore.evaluation.aggregation import LONGER


def not_run(results: pd.DataFrame, protocol: str) -> dict[str, list[str]]:
    """Why networks and aggregates that belong to this protocol have no row: reason -> names."""
    there = set(results[results.protocol == protocol].network)
    aggregates, found = aggregation.read_aggregates(), defaultdict(list)
    for name, entry in tables.entries().items():
        if name in there or not _belongs(entry, protocol):
            continue
        if name == aggregation.STUDY_ENSEMBLE:
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


def incomplete(results: pd.DataFrame, protocol: str) -> dict[str, list[str]]:
    """Aggregates of this protocol that are there without some of their optional members: name ->
    those members."""
    there = set(results[results.protocol == protocol].network)
    lacking = {
        name: [member for member in aggregate.optional if member not in there]
        for name, aggregate in aggregation.read_aggregates().items()
        if name in there
    }
    return {name: members for name, members in lacking.items() if members}


def _belongs(entry: scoring.Entry, protocol: str) -> bool:
    """Whether the system published figures on this protocol, or it is the one that all networks of
    seven classes are compared on."""
    classes = {PROTOCOLS[name].class_names for name in entry.published} or {
        PROTOCOLS[protocol].class_names
    }
    compared_on = protocol == "official" and classes == {PROTOCOLS[protocol].class_names}
    return protocol in entry.published or (compared_on and not entry.name.endswith(LONGER))
