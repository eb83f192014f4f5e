"""What was published beside what is reached here, all systems at a glance: for the documents and
the reports."""

import pandas as pd

from fercore.config import parameters
from fercore.data.splits import SPLITS
from fercore.evaluation import scoring, tables


def compared(results: pd.DataFrame) -> pd.DataFrame:
    """Every test accuracy that the systems published beside this study's, views averaged, mean over
    seeds; in %.

    Columns: name, system, base (the network's builder; 'aggregates'), notebook, split (the
    published one), classes, published, measured_on (that split, or the official split where it
    was not run on it), accuracy, low, high (95 %), validation, NaN where it ran on neither;
    preferred: of the recipes for one published figure the one with the highest validation accuracy.
    """
    rows = []
    for name, entry in tables.entries().items():
        for split in entry.published:
            there = _measured_on(results, name, split)
            ours = tables.select(results, there, name, "test", True)
            rows.append(
                {
                    "name": name,
                    "system": entry.system,
                    "base": _base(entry),
                    "notebook": entry.notebook,
                    "split": split,
                    "classes": len(SPLITS[split].class_names),
                    "published": entry.published[split].get("test"),
                    "measured_on": there,
                    "accuracy": ours.accuracy.mean(),
                    "low": ours.accuracy_low.mean(),
                    "high": ours.accuracy_high.mean(),
                    "validation": tables.select(
                        results, there, name, "validation", True
                    ).accuracy.mean(),
                }
            )
    frame = pd.DataFrame(rows)
    figure = frame.groupby(["system", "base", "split", "published"], dropna=False)
    return frame.assign(preferred=frame.validation == figure.validation.transform("max"))


def foremost(results: pd.DataFrame) -> pd.DataFrame:
    """The outcome as text, columns as `everything`: of each system the figure for which it
    published most (by notebook and number of classes), by the recipe that validation faces prefer,
    and the study's own networks.

    A recipe that did not run on the official split has there the accuracy of another one for the
    same figure, with its name.
    """
    figures = compared(results).dropna(subset="published")
    most = figures.groupby(["system", "notebook", "classes"]).published.transform("max")
    chosen = {
        (one.name, one.split): one
        for one in figures[figures.preferred & (figures.published == most)].itertuples(index=False)
    }
    rows = []
    for row in everything(results).to_dict("records"):
        one = chosen.get((row["network"], row["split"]))
        if one is not None and row["official split"] == tables.NOT_RUN:
            row["official split"] = _by_another_recipe(results, figures, one)
        if one is not None or row["system"] == tables.SYSTEMS[-1]:
            rows.append(row)
    return pd.DataFrame(rows)


def everything(results: pd.DataFrame) -> pd.DataFrame:
    """All results as text, by system: a row for each split that a network published on, else was
    run on; those that ran. Columns: system, network, split, published, here, official split, copies
    removed, training."""
    rows = [
        _row(results, name, entry, split)
        for name, entry in tables.entries().items()
        for split in _splits(results, name, entry)
    ]
    rows.sort(key=lambda row: tables.SYSTEMS.index(row["system"]))
    return pd.DataFrame(
        [row for row in rows if {row["here"], row["official split"]} - {tables.NOT_RUN, ""}]
    )


def _row(results: pd.DataFrame, name: str, entry: scoring.Entry, split: str) -> dict:
    beside, there = _on_official_split(split), _measured_on(results, name, split)
    trained = tables.select(results, there, name, "test", True)
    return {
        "system": entry.system if entry.system in tables.SYSTEMS else tables.SYSTEMS[-1],
        "network": name,
        "split": split,
        "published": tables.number(entry.published.get(split, {}).get("test"), 2),
        "here": tables.accuracy(results, split, name),
        "official split": tables.accuracy(results, beside, name) if beside else "",
        "copies removed": tables.mean(results, there, name, "accuracy_deduplicated"),
        "training": tables.training_time(trained),
    }


def _by_another_recipe(results: pd.DataFrame, figures: pd.DataFrame, one: tuple) -> str:
    official = _on_official_split(one.split)
    same = figures[
        (figures.base == one.base)
        & (figures.published == one.published)
        & (figures.system == one.system)
    ]
    ran = [name for name in same.name if len(tables.select(results, official, name, "test", True))]
    return f"{tables.accuracy(results, official, ran[0])} by {ran[0]}" if ran else tables.NOT_RUN


def _base(entry: scoring.Entry) -> str:
    return (
        parameters.network(entry.name).get("base", entry.name)
        if entry.table == "networks"
        else entry.table
    )


def _splits(results: pd.DataFrame, name: str, entry: scoring.Entry) -> list[str]:
    """The splits of a network's published figures; without such the official one, or else those
    it was run on."""
    run = results[results.network == name].split.unique()
    return list(entry.published) or (
        ["official"] if "official" in run or not len(run) else sorted(run)
    )


def _measured_on(results: pd.DataFrame, name: str, split: str) -> str:
    """The split to score a network on: the one given, or the official split where it was not run
    on it."""
    beside = _on_official_split(split)
    return split if not beside or tables.select(results, split, name, "test", True).size else beside


def _on_official_split(split: str) -> str | None:
    """The split of the official split that tells the same classes apart; None where `split`
    is of that split."""
    if not SPLITS[split].pooled:
        return None
    return next(
        name
        for name, other in SPLITS.items()
        if not other.pooled and other.class_names == SPLITS[split].class_names
    )
