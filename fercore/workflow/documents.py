"""What README.md and docs/results.md say of the published run: its tables, and sentences with
numbers computed from them (story.md), with the verdict on each system."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.evaluation import comparison, scoring, tables
from fercore.workflow import pages
from fercore.workflow.pages import PUBLISHED

SYSTEMS = tuple(f"system {letter}" for letter in "ABCDE")
DOCUMENTS = {  # and what is made anew in them
    "README.md": ("findings", "summary"),
    "docs/results.md": ("findings", "verdicts", *SYSTEMS, "results", "changes", "few faces"),
}
STORY = ("results", "changes", "learning_curve", "by_votes")  # tables that story.md reads
LIMITED = {  # systems that cannot be rebuilt whole, whatever the numbers say
    "C": "its split is not stated, and its third member needs ImageNet's weights",
    "D": "it was trained on AffectNet too, which is not public",
}


def update_documents() -> list[str]:
    """Write both documents anew from the published tables; return a line for each."""
    done = []
    for name, text in documents().items():
        changed = (paths.ROOT / name).read_text() != text
        if changed:
            artifacts.write_atomically(paths.ROOT / name, text)
        done.append(f"{name}: {'results written' if changed else 'up to date'}")
    return done


def documents() -> dict[str, str]:
    """Both documents as they must be: their own text around what the published tables say."""
    folder = paths.outputs(PUBLISHED)
    said, read = story(folder), (pd.read_csv(folder / f"tables/{name}.csv") for name in STORY[:3])
    content = generated(*read) | {key: said[key] for key in ("findings", "summary")}
    for one in said["systems"]:
        content[f"system {one['letter']}"] = f"**{one['verdict'].capitalize()}.** {one['reason']}\n"
    return {
        name: filled((paths.ROOT / name).read_text(), {key: content[key] for key in keys}, name)
        for name, keys in DOCUMENTS.items()
    }


def story(folder: Path) -> dict[str, Any]:
    """What the tables of a run show, as Markdown: `findings`, `summary` (a table), and `systems`,
    each with letter, title, verdict and its reason."""
    results, gains, curve, votes = (pd.read_csv(folder / f"tables/{name}.csv") for name in STORY)
    rows: dict[Any, Any] = verdicts(results, gains).set_index("system").to_dict("index")
    numbers = _numbers(results, gains, curve, votes.set_index("network"))
    numbers |= {"rows": rows, "total": partial(_total, rows), "limited": LIMITED}
    strict: dict[str, Any] = {"undefined": jinja2.StrictUndefined, "trim_blocks": True}
    environment = jinja2.Environment(loader=pages.TEMPLATES, **strict)
    text: Any = environment.get_template("story.md").make_module(numbers)
    systems = [
        {"letter": letter, "title": text.titles[letter], "verdict": row["verdict"]}
        | {"reason": getattr(text, letter)().strip()}
        for letter, row in rows.items()
        if letter != "own"
    ]
    return {"findings": text.findings(), "summary": text.summary(), "systems": systems}


def generated(results: pd.DataFrame, gains: pd.DataFrame, curve: pd.DataFrame) -> dict[str, str]:
    """What the documents show of tables of a run, as Markdown, by the name of its markers."""
    changes = [
        f"**{change.title}**\n\n{_markdown(comparison.changes_text(gains, key))}"
        for key, change in parameters.changes().items()
        if key in set(gains.change)
    ]
    return {
        "verdicts": _markdown(verdicts(results, gains)),
        "results": f"{_markdown(tables.everything(results))}\n{_note(results)}\n",
        "changes": "\n".join(changes),
        "few faces": _markdown(comparison.curve_text(curve)),
    }


def filled(document: str, content: Mapping[str, str], file: str) -> str:
    """The text of a document with `content` between its markers. Raises `EvaluationError` that
    names the `file` where markers are missing."""
    for name, text in content.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, _, rest = document.partition(begin)
        _, there, after = rest.partition(end)
        if not there:
            raise scoring.EvaluationError(f"{file}: {begin} and {end} must stand around its {name}")
        document = f"{before}{begin}\n{text}{end}{after}"
    return document


def verdicts(results: pd.DataFrame, gains: pd.DataFrame) -> pd.DataFrame:
    """A row for each system, as text: its highest published accuracy beside this study's, how many
    of its accuracies and gains are reached, and the verdict; last the study's ensemble. An accuracy
    is reached when it is not above the 95 % interval of the accuracy here, views averaged, on the
    split that it was published for; a gain above zero likewise, by the intervals of its change."""
    figures = tables.outcome(results).dropna(subset=["published", "accuracy"])
    figures = figures[figures.preferred & (figures.split == figures.measured_on)]
    catalogue, rows = scoring.catalogue(), []
    known = gains[gains.published > 0]
    known = known[~known.after.str.endswith(parameters.PUBLISHED_RECIPE)]
    for system, ours in figures.groupby("system"):
        best = ours.iloc[int(ours.published.argmax())]
        pairs = known.loc[[catalogue[name].system == system for name in known.after]]
        reached, key = ours.high >= ours.published, ["change", "split", "published"]
        gained = pairs.assign(reached=pairs.high >= pairs.published).groupby(key).reached.all()
        whole = reached.all() and gained.all() and system not in LIMITED
        none = not (reached.any() or gained.any())
        row = {"system": system, "network": best["name"], "split": best.split}
        row |= {"published": f"{best.published:.2f}"}
        row |= {"here": tables.accuracy(results, best.split, best["name"])}
        row |= {"accuracies reached": f"{reached.sum()} of {len(ours)}"}
        row |= {"gains reached": f"{gained.sum()} of {len(gained)}" if len(gained) else ""}
        verdict = "reproduced" if whole else "not reproduced" if none else "reproduced in part"
        rows.append(row | {"verdict": verdict})
    if own := tables.accuracy(results, "official", parameters.STUDY_ENSEMBLE):
        row = {"system": "own", "network": parameters.STUDY_ENSEMBLE, "split": "official"}
        rows.append(row | {"here": own})
    return pd.DataFrame(rows).fillna("")


def _numbers(
    results: pd.DataFrame, gains: pd.DataFrame, curve: pd.DataFrame, votes: pd.DataFrame
) -> dict[str, Any]:
    """What the sentences of story.md are filled with: functions that give numbers as text."""
    known = scoring.catalogue()
    dense = curve[(curve.network == "dsift_cnn") & (curve.recipe == "study")]
    few = dense.groupby("percent")[["gain", "gain_low", "gain_high"]].mean()
    size = results.groupby("network").macs.mean()

    def accuracy(*of: str, tta: bool = True) -> str:  # split, name
        return re.sub(r"(?= [\[(]|$)", " %", tables.accuracy(results, *of, tta=tta), count=1)

    def points(gain: float, low: float, high: float) -> str:
        return tables.interval(gain, low, high, "+z.1f").replace("\u00a0[", " points [")

    def gain(before: str, after: str, split: str) -> str:
        pair = (gains.before == before) & (gains.after == after) & (gains.split == split)
        return points(*gains[pair][["gain", "low", "high"]].iloc[0])

    def claimed(before: str, after: str, split: str) -> str:
        one, other = (known[name].published[split]["test"] for name in (before, after))
        return f"{other - one:+z.1f}"

    return {
        "accuracy": accuracy,
        "gain": gain,
        "claimed": claimed,
        "unique": lambda *of: f"{tables.select(results, *of).accuracy_deduplicated.mean():.1f}",
        "few": lambda percent: points(*few.loc[percent]),
        "times": lambda one, other: f"{size[one] / size[other]:.0f}",
        "votes": lambda name: list(votes.loc[name]),
    }


def _total(rows: Mapping[str, Mapping[str, str]], column: str) -> str:
    """'12 of 14' of all systems together."""
    pairs = [row[column].split(" of ") for row in rows.values() if row[column]]
    return " of ".join(str(sum(map(int, numbers))) for numbers in zip(*pairs, strict=True))


def _markdown(rows: pd.DataFrame) -> str:
    named = rows.columns.intersection(["network", "split", "before", "after", "recipe"])
    return tables.markdown(rows.assign(**{name: "`" + rows[name] + "`" for name in named})) + "\n"


def _note(results: pd.DataFrame) -> str:
    """How many faces each split tests on, what trained the networks, and which have no row yet."""
    test = results[(results.part == "test") & results.tta]
    faces = {str(split): int(rows.n.iloc[0]) for split, rows in test.groupby("split")}
    counts = ", ".join(f"{n:,} on `{split}`" for split, n in faces.items())
    hardware = "; ".join(sorted(set(test[test.table == "networks"].device.dropna())))
    known = tables.entries().keys() | set(parameters.names("networks"))  # without their averages
    waiting = [f"`{n}`" for n in scoring.catalogue() if n in known - set(results.network)]
    return f"Test faces: {counts}. Trained on: {hardware or 'nothing yet'}." + (
        f"\n\nBuilt and not trained on all faces yet: {', '.join(waiting)}." if waiting else ""
    )
