"""results.csv as tables to read: this study beside the published figures. Frames of text in, HTML
and Markdown out."""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from pandas.io.formats.style import Styler

from fercore import artifacts
from fercore.data.splits import SPLITS
from fercore.evaluation import metrics, scoring
from fercore.config.parameters import PUBLISHED_RECIPE

OWN_SPLIT = "pooled_64_16_20"  # what system A measured its figures on
SYSTEMS = ("A", "B", "C", "D", "E", "own")  # of the published systems, and this study's
NOT_RUN = "not run"
_COMPARED = {"networks": "network", "aggregates": "aggregate"}


def beside_published(
    results: pd.DataFrame, split: str, table: str, *, fer2013: bool = True
) -> pd.DataFrame:
    """System A's table of 'networks' or 'aggregates' beside this study's accuracies in %, a row
    each.

    Accuracies with 95 % intervals, or mean and standard deviation of several seeds; differences to
    the published test accuracy in points. 'copies removed': accuracy, views averaged, on test faces
    without an exact copy in training or validation. The published columns are left out where
    `fer2013` is False: other data, other numbers.
    """
    rows = []
    for name, entry in entries().items():
        if entry.system != "A" or entry.table != table:
            continue
        row = {_COMPARED[table]: name}
        theirs = entry.published.get(OWN_SPLIT, {}) if fer2013 else {}
        if table == "networks":
            row |= {
                "published validation": number(theirs.get("validation"), 2),
                "validation": accuracy(results, split, name, "validation", tta=False),
            }
        row |= {
            "published test": number(theirs.get("test"), 2),
            "test": accuracy(results, split, name, tta=False),
            "difference": _difference(results, split, name, theirs.get("test")),
        }
        if results[results.split == split].network.str.endswith(PUBLISHED_RECIPE).any():
            other = name + PUBLISHED_RECIPE
            row |= {
                "published recipe, test": accuracy(results, split, other, tta=False),
                "published recipe, difference": _difference(
                    results, split, other, theirs.get("test")
                ),
            }
        row |= {
            "views averaged": accuracy(results, split, name),
            "copies removed": mean(results, split, name, "accuracy_deduplicated"),
        }
        rows.append(row)
    frame = pd.DataFrame(rows)
    published = [
        column
        for column in frame
        if column.startswith(("published v", "published t")) or "differ" in column
    ]
    return frame if fer2013 else frame.drop(columns=published)


def accuracy(
    results: pd.DataFrame, split: str, network: str, part: str = "test", *, tta: bool = True
) -> str:
    """Accuracy in % as text: '65.1 [63.5, 66.7]', '65.1 ± 0.3 (3 seeds)', or 'not run'; lines break
    at brackets alone."""
    rows = select(results, split, network, part, tta)
    if rows.empty:
        return NOT_RUN
    if len(rows) > 1:
        text = f"{rows.accuracy.mean():.1f} ± {rows.accuracy.std():.1f} ({len(rows)} seeds)"
    else:
        one = rows.iloc[0]
        text = f"{one.accuracy:.1f} [{one.accuracy_low:.1f}, {one.accuracy_high:.1f}]"
    return re.sub(r" (?![\[(])", "\u00a0", text)


def forest(run: scoring.Run, *scored: Mapping[str, scoring.Scored]) -> pd.DataFrame:
    """Accuracy, interval and published figure of each system in %, a row each: what `accuracies`
    draws. `scored`: name -> scores on one split, a mapping a seed; of a system with several
    seeds the means are taken."""
    rows = []
    for name, entry in scoring.catalogue().items():
        if not (ours := [one[name] for one in scored if name in one]):
            continue
        means = pd.DataFrame([scoring.results_row(one) for one in ours]).mean()
        theirs = _comparable(entry.published, ours[0].split) if run.faces.is_fer2013 else {}
        rows.append(
            {
                "name": name,
                "table": entry.table,
                "accuracy": means.accuracy,
                "low": means.accuracy_low,
                "high": means.accuracy_high,
                "published": theirs.get("test", float("nan")),
            }
        )
    return pd.DataFrame(rows)


def _comparable(published: dict, split: str) -> dict:
    """Figures by split that were published on this split, else on another one with the same
    classes."""
    classes = SPLITS[split].class_names
    others = [values for name, values in published.items() if SPLITS[name].class_names == classes]
    return published.get(split) or next(iter(others), {})


def compared(results: pd.DataFrame, split: str) -> pd.DataFrame:
    """Every network and aggregate of a split, mean over seeds: name, system, accuracy, low, high
    (in %, averaged over views), parameters, macs, train_seconds (on processors; NaN where a GPU had
    a part); most accurate first."""
    chosen = results[(results.split == split) & (results.part == "test") & results.tta]
    costs = ["parameters", "macs", "train_seconds"]
    chosen = chosen.astype(dict.fromkeys(costs, float))
    chosen["train_seconds"] = chosen.train_seconds.mask(on_gpu(chosen))
    frame = chosen.groupby(["network", "system"], as_index=False)[
        ["accuracy", "accuracy_low", "accuracy_high", *costs]
    ].mean()
    names = {"network": "name", "accuracy_low": "low", "accuracy_high": "high"}
    return frame.rename(columns=names).sort_values("accuracy", ascending=False, ignore_index=True)


def readable(compared: pd.DataFrame) -> pd.DataFrame:
    """A table as of `compared` to read: accuracy with its interval, multiply-adds in millions,
    training as a duration, other numbers to a tenth; what is not known stays NaN."""
    forms = {
        "parameters": "{:,.0f}".format,
        "macs": lambda macs: f"{macs / 1e6:,.0f}",
        "train_seconds": artifacts.duration,
    }
    text = with_interval(compared, "accuracy")
    for column in text.select_dtypes("float"):
        text[column] = text[column].map(forms.get(column, "{:.1f}".format), na_action="ignore")
    return text.rename(columns={"macs": "multiply-adds, M", "train_seconds": "training"})


def calibration(scored: Mapping[str, scoring.Scored]) -> pd.DataFrame:
    """Accuracy, mean confidence and expected calibration error of each system, in %."""
    rows = []
    for name, one in scored.items():
        error = metrics.calibration_error(one.probabilities, one.labels)
        rows.append(
            {
                "network": name,
                "accuracy": 100 * one.right.mean(),
                "mean confidence": 100 * float(one.probabilities.max(1).mean()),
                "expected calibration error": 100 * error,
            }
        )
    return pd.DataFrame(rows)


def what_counts(results: pd.DataFrame) -> pd.DataFrame:
    """By split, in points of test accuracy averaged over rows: what averaging over views adds,
    what copies gave."""
    test, rows = results[results.part == "test"], []
    for split, part in test.groupby("split"):
        plain, averaged = part[~part.tta.astype(bool)], part[part.tta.astype(bool)]
        copies = (averaged.accuracy_deduplicated - averaged.accuracy).mean()
        rows.append(
            {
                "split": split,
                "rows": len(averaged),
                "test faces": f"{part.n.iloc[0]:,}",
                "views averaged": f"{averaged.accuracy.mean() - plain.accuracy.mean():+.2f}",
                "copies removed": f"{copies:+.2f}",
            }
        )
    return pd.DataFrame(rows)


def splits_of(results: pd.DataFrame, system: str) -> list[str]:
    """Splits on which a system's networks were run, sorted."""
    return sorted(results[results.system == system].split.unique())


def of_system(results: pd.DataFrame, system: str, *, fer2013: bool = True) -> pd.DataFrame:
    """A system's networks and aggregates, a row for each split that it published figures for or
    that was run; those by the system's own recipe only where they were run.

    Accuracies in % on test faces, with intervals or deviations over seeds; differences to the
    published figure in points. The published columns are left out where `fer2013` is False: other
    data, other numbers.
    """
    rows, there = [], set(results.network)
    for name, entry in scoring.catalogue().items():
        if entry.system == system and (name in there or not name.endswith(PUBLISHED_RECIPE)):
            rows += [
                _beside(results, name, entry, split) for split in _splits(results, name, entry)
            ]
    frame = pd.DataFrame(rows)
    return frame if fer2013 else frame.drop(columns=["published", "difference"], errors="ignore")


def _beside(results: pd.DataFrame, name: str, entry: scoring.Entry, split: str) -> dict:
    theirs = entry.published.get(split, {}).get("test")
    rows = select(results, split, name, "test", True)
    return {
        "network": name,
        "split": split,
        "published": number(theirs, 2),
        "test": accuracy(results, split, name, tta=False),
        "difference": _difference(results, split, name, theirs),
        "views averaged": accuracy(results, split, name),
        "copies removed": mean(results, split, name, "accuracy_deduplicated"),
        "training": training_time(rows),
    }


def _splits(results: pd.DataFrame, name: str, entry: scoring.Entry) -> list[str]:
    """Splits of a row's own figures first, then others that it was run on; the official one when
    there are none."""
    run = results[results.network == name].split.unique()
    return list(dict.fromkeys([*entry.published, *sorted(run)])) or ["official"]


def training_time(rows: pd.DataFrame) -> str:
    """How long one of these trainings took, in words, rows of results.csv: the mean over seeds."""
    if rows.empty:
        return NOT_RUN
    alone, ending = rows.device.fillna("").str.startswith("gpu").all(), ""
    if on_gpu(rows).any():
        ending = " on a GPU" if alone else ", partly on a GPU"
    return duration(rows.train_seconds.mean()) + ending


def on_gpu(rows: pd.DataFrame) -> pd.Series:
    """Which rows of results.csv a GPU had a part in."""
    return rows.device.fillna("").str.contains("gpu")


def entries() -> dict[str, scoring.Entry]:
    """The catalogue without the networks trained by their systems' own recipes, which stand beside
    them."""
    return {
        name: entry
        for name, entry in scoring.catalogue().items()
        if not name.endswith(PUBLISHED_RECIPE)
    }


def save(frame: pd.DataFrame, folder: Path, name: str) -> None:
    """Write a table into the tables of a run, as .md and .html."""
    artifacts.write_atomically(folder / "tables" / f"{name}.md", markdown(frame) + "\n")
    artifacts.write_atomically(folder / "tables" / f"{name}.html", html(frame) + "\n")


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table; what is missing is empty."""
    text = frame.astype(object).where(frame.notna(), "").astype(str)
    lines = [list(frame.columns), ["---"] * len(frame.columns), *text.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def html(frame: pd.DataFrame) -> str:
    """A frame as an HTML table without row numbers; names longer than 20 letters may break behind
    underscores. Cells of columns of words, which are to begin below each other, are of class
    `words`."""
    columns = iter(
        [' class="words"' if _of_words(frame[name]) else "" for name in frame] * (len(frame) + 1)
    )
    text = frame.to_html(index=False, border=0, na_rep="")
    text = re.sub(r"<(t[hd])>", lambda cell: f"<{cell[1]}{next(columns)}>", text)
    return re.sub(r"[\w+]{21,}", lambda name: name[0].replace("_", "_<wbr>"), text)


def styled(frame: pd.DataFrame) -> Styler:
    """A frame to be formatted and shown without row numbers; words begin below each other."""
    left = [{"selector": "", "props": "text-align: left"}]
    return frame.style.hide(axis="index").set_table_styles(
        {name: left for name in frame if _of_words(frame[name])}
    )


def _of_words(column: pd.Series) -> bool:
    """Whether some of its texts begin with a letter: names, not numbers; 'not run' stands in
    columns of numbers."""
    return any(
        isinstance(value, str) and value[:1].isalpha() and value != NOT_RUN for value in column
    )


def with_interval(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The frame with a column and its interval, `<column>_low` and `_high` or `low` and `high`, as
    one text: '65.1 [63.5, 66.7]'."""
    low, high = (
        f"{column}_{end}" if f"{column}_{end}" in frame else end for end in ("low", "high")
    )
    texts = [interval(*values) for values in frame[[column, low, high]].to_numpy()]
    return frame.assign(**{column: texts}).drop(columns=[low, high])


def interval(value: float, low: float, high: float, form: str = ".1f") -> str:
    """A value and its interval, if any is known, as text that stays on a line: '65.1 [63.5, 66.7]'.
    `form`: of the value."""
    return f"{value:{form}}" + ("" if pd.isna(low) else f"\u00a0[{low:z.1f},\u00a0{high:z.1f}]")


def p_value(p: float) -> str:
    """A probability as text: '0.032', '< 0.001', which stays on a line."""
    return "<\u00a00.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float | None) -> str:
    """`artifacts.duration`; nothing where it is not known."""
    return "" if seconds is None or pd.isna(seconds) else artifacts.duration(seconds)


def select(results: pd.DataFrame, split: str, network: str, part: str, tta: bool) -> pd.DataFrame:
    """The rows of a network or aggregate, one a seed."""
    chosen = (results.split == split) & (results.network == network) & (results.part == part)
    return results[chosen & (results.tta == tta)]


def mean(results: pd.DataFrame, split: str, network: str, column: str) -> str:
    """Mean over seeds of a column on test faces, views averaged, as text; or 'not run'."""
    rows = select(results, split, network, "test", True)
    return NOT_RUN if rows.empty else number(rows[column].mean())


def _difference(results: pd.DataFrame, split: str, network: str, published: float | None) -> str:
    rows = select(results, split, network, "test", False)
    return "" if rows.empty or published is None else f"{rows.accuracy.mean() - published:+z.1f}"


def number(value: float | None, decimals: int = 1) -> str:
    """A number as text; nothing where there is none."""
    return "" if value is None or pd.isna(value) else f"{value:.{decimals}f}"
