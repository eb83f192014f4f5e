"""results.csv as tables to read: this study beside the published figures. Frames of text in; CSV,
HTML and Markdown out, with what comes from outside made harmless."""

import html as escaping
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from fercore import artifacts
from fercore.config import parameters
from fercore.config.parameters import PUBLISHED_RECIPE
from fercore.data.splits import SPLITS
from fercore.evaluation import scoring

SYSTEMS = ("A", "B", "C", "D", "E", "own")  # of the published systems, and this study's
OUTCOME = [
    *("name", "system", "base", "notebook", "split", "classes", "published", "measured_on"),
    *("accuracy", "low", "high", "validation"),
]
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what begins a formula where a spreadsheet opens a CSV


def of_system(
    results: pd.DataFrame, system: str, *, fer2013: bool = True, split: str | None = None
) -> pd.DataFrame:
    """A system's networks and aggregates, a row for each split that they were run on, or for one.
    Accuracies in % with 95 % intervals, or mean and standard deviation of several seeds; difference
    of test to the published, in points; duplicates removed: views averaged, on test faces without
    an exact duplicate in training or validation. No published columns where `fer2013` is False."""
    rows = [
        _beside(results, entry, place)
        for entry in scoring.catalogue().values()
        if entry.system == system
        for place in _splits(results, entry)
        if split in (None, place)
    ]
    theirs = [] if fer2013 else ["published validation", "published test", "difference"]
    return pd.DataFrame(rows).drop(columns=theirs, errors="ignore")


def everything(results: pd.DataFrame) -> pd.DataFrame:
    """The results of all networks and aggregates as text, by system; a row for each split that it
    published on, else was run on."""
    rows: list[dict[str, str]] = []
    for entry, split, there in _run(results):
        row = _beside(results, entry, there)
        rows.append(
            {
                "system": entry.system if entry.system in SYSTEMS else SYSTEMS[-1],
                "network": entry.name,
                "split": split,
                "published": number(entry.published.get(split, {}).get("test"), 2),
                "here": accuracy(results, split, entry.name),
                "official split": accuracy(results, _on_official_split(split), entry.name),
                "duplicates removed": row["duplicates removed"],
                "training": row["training"],
            }
        )
    rows.sort(key=lambda row: SYSTEMS.index(row["system"]))
    return pd.DataFrame(rows)


def outcome(results: pd.DataFrame) -> pd.DataFrame:
    """Every test accuracy that the systems published and this study has, views averaged, mean over
    seeds; in %.

    Columns: name, system, base (the network's builder; 'aggregates'), notebook, split (the
    published one), classes, published, measured_on (that split, or the official one where it was
    not run on it), accuracy, low, high (95 %), validation; preferred: of the variants for one
    published figure the one with the highest validation accuracy.
    """
    rows = []
    for entry, split, there in _run(results):
        if split in entry.published:
            name, network = entry.name, entry.table == "networks"
            base = parameters.network(name).get("base", name) if network else entry.table
            about = (name, entry.system, base, entry.notebook, split)
            theirs = len(SPLITS[split].class_names), entry.published[split].get("test"), there
            scores = select(results, there, name)[["accuracy", "accuracy_low", "accuracy_high"]]
            validation = select(results, there, name, "validation").accuracy.mean()
            rows.append((*about, *theirs, *scores.mean(), validation))
    frame = pd.DataFrame(rows, columns=OUTCOME)
    figure = frame.groupby(["system", "base", "split", "published"], dropna=False)
    return frame.assign(preferred=frame.validation == figure.validation.transform("max"))


def entries() -> dict[str, scoring.Entry]:
    """The catalogue without the networks trained by their systems' own recipes."""
    known = scoring.catalogue()
    return {name: one for name, one in known.items() if not name.endswith(PUBLISHED_RECIPE)}


def select(
    results: pd.DataFrame, split: str | None, network: str, part: str = "test", *, tta: bool = True
) -> pd.DataFrame:
    """The rows of a network or aggregate, one a seed."""
    chosen = (results.split == split) & (results.network == network) & (results.part == part)
    return results[chosen & (results.tta == tta)]


def accuracy(
    results: pd.DataFrame, split: str | None, network: str, part: str = "test", *, tta: bool = True
) -> str:
    """Accuracy in %: '65.1 [63.5, 66.7]', '65.1 ± 0.3 (3 seeds)', ''; lines break at brackets."""
    rows = select(results, split, network, part, tta=tta)
    if len(rows) < 2:
        values = rows[["accuracy", "accuracy_low", "accuracy_high"]].to_numpy()
        return "".join(interval(*value).replace("\u00a0[", " [") for value in values)
    text = f"{rows.accuracy.mean():.1f} ± {rows.accuracy.std():.1f} ({len(rows)} seeds)"
    return re.sub(r" (?!\()", "\u00a0", text)


def training_time(rows: pd.DataFrame) -> str:
    """How long one of these trainings, rows of results.csv, took in words: the mean over seeds."""
    device = rows.device.fillna("").str
    partly = ", partly on a GPU" if device.contains("gpu").any() else ""
    ending = " on a GPU" if device.startswith("gpu").all() else partly
    seconds = rows.train_seconds.mean()
    return "" if pd.isna(seconds) else artifacts.duration(seconds) + ending


def save(frame: pd.DataFrame, folder: Path, name: str) -> None:
    """Write a table into the tables of a run, as .md."""
    artifacts.write_atomically(folder / "tables" / f"{name}.md", markdown(frame) + "\n")


def save_csv(frame: pd.DataFrame, folder: Path, name: str, **how) -> Path:
    """Write a table into the tables of a run, as .csv. Text that a spreadsheet would take for a
    formula gets an apostrophe before it. `how` goes to `DataFrame.to_csv`."""
    plain = frame.rename(columns=_no_formula)
    for column in plain.select_dtypes(exclude=["number", "bool"]):
        plain[column] = plain[column].map(_no_formula)
    text = plain.to_csv(index=False, lineterminator="\n", **how)
    return artifacts.write_atomically(folder / "tables" / f"{name}.csv", text)


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table, missing values empty, the signs that it is made of escaped."""
    text = frame.astype(object).where(frame.notna(), "").astype(str)
    lines = [list(frame.columns), ["---"] * len(frame.columns), *text.to_numpy().tolist()]
    for old, new in (("|", "\\|"), ("<", "&lt;"), ("\n", " ")):
        lines = [[str(cell).replace(old, new) for cell in cells] for cells in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def html(frame: pd.DataFrame) -> str:
    """A frame as an HTML table without row numbers, escaped; names longer than 20 letters may break
    after underscores. Cells in columns of words are of class `words`."""
    kinds = [' class="words"' if _of_words(frame[name]) else "" for name in frame]
    columns = iter(kinds * (len(frame) + 1))
    text = frame.to_html(index=False, border=0, na_rep="")
    text = re.sub(r"<(t[hd])>", lambda cell: f"<{cell[1]}{next(columns)}>", text)
    return re.sub(r"[\w+]{21,}", lambda name: name[0].replace("_", "_<wbr>"), text)


def styled(frame: pd.DataFrame) -> Styler:
    """A frame to be formatted and shown without row numbers, escaped; words begin at the left."""
    safe = frame.rename(columns=_escaped).map(_escaped)
    left = [{"selector": "", "props": "text-align: left"}]
    words: Any = {name: left for name in safe if _of_words(safe[name])}
    return safe.style.hide(axis="index").set_table_styles(words)


def with_interval(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The frame with a column and its `<column>_low` and `_high`, or `low` and `high`, as text."""
    low, high = (f"{column}_{end}" if f"{column}_low" in frame else end for end in ("low", "high"))
    texts = [interval(*values) for values in frame[[column, low, high]].to_numpy()]
    return frame.assign(**{column: texts}).drop(columns=[low, high])


def interval(value: float, low: float, high: float, form: str = ".1f") -> str:
    """A value and its interval, if known, as text that stays on a line: '65.1 [63.5, 66.7]'."""
    return f"{value:{form}}" + ("" if pd.isna(low) else f"\u00a0[{low:z.1f},\u00a0{high:z.1f}]")


def p_value(p: float) -> str:
    """A probability as text: '0.032', '< 0.001', which stays on a line."""
    return "<\u00a00.001" if p < 0.001 else f"{p:.3f}"


def number(value: float | None, decimals: int = 1) -> str:
    """A number as text; nothing where there is none."""
    return "" if pd.isna(value) else f"{value:.{decimals}f}"


def _beside(results: pd.DataFrame, entry: scoring.Entry, split: str) -> dict[str, str]:
    theirs, name = entry.published.get(split, {}), entry.name
    one_view, averaged = (select(results, split, name, tta=tta) for tta in (False, True))
    difference = one_view.accuracy.mean() - theirs.get("test", np.nan)
    return {
        "table": entry.table,
        "network": name,
        "split": split,
        "published validation": number(theirs.get("validation"), 2),
        "validation": accuracy(results, split, name, "validation", tta=False),
        "published test": number(theirs.get("test"), 2),
        "test": accuracy(results, split, name, tta=False),
        "difference": "" if np.isnan(difference) else f"{difference:+z.1f}",
        "views averaged": accuracy(results, split, name),
        "duplicates removed": number(averaged.accuracy_deduplicated.mean()),
        "training": training_time(averaged),
    }


def _splits(results: pd.DataFrame, entry: scoring.Entry) -> list[str]:
    """Those that a network was run on, first those of its published figures."""
    ran = set(results[results.network == entry.name].split)
    return [split for split in dict.fromkeys([*entry.published, *sorted(ran)]) if split in ran]


def _run(results: pd.DataFrame) -> Iterator[tuple[scoring.Entry, str, str]]:
    """Entries with the splits that they published on, else were run on, and beside each the split
    they were run on: that one, or else the official one; those that ran."""
    for entry in entries().values():
        ran = _splits(results, entry)
        for split in entry.published or (["official"] if "official" in ran else ran):
            there = split if split in ran else _on_official_split(split)
            if there in ran:
                yield entry, split, there


def _on_official_split(split: str) -> str | None:
    """The official split of the same classes; None where `split` is one."""
    classes = SPLITS[split].class_names
    alike = [n for n, one in SPLITS.items() if not one.pooled and one.class_names == classes]
    return alike[0] if SPLITS[split].pooled else None


def _of_words(column: pd.Series) -> bool:
    """Whether some of its texts begin with a letter: names, not numbers."""
    return any(isinstance(one, str) and one[:1].isalpha() for one in column)


def _escaped(value: object) -> object:
    return escaping.escape(value, quote=False) if isinstance(value, str) else value


def _no_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
