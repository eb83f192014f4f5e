"""The tables of README.md and docs/results.md, made from those of the published run, and the
verdict on each system."""

from collections.abc import Mapping

import pandas as pd

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.evaluation import comparison, scoring, tables
from fercore.workflow.publish import PUBLISHED, PublishingError

DOCUMENTS = {  # and their tables
    "README.md": ("verdicts",),
    "docs/results.md": ("results", "changes", "few faces"),
}
CODE = ("network", "split", "before", "after", "recipe")  # columns of names in params/
LIMITED = {  # systems that cannot be rebuilt whole, whatever the numbers say
    "C": "its split is not stated, and its third member needs ImageNet's weights",
    "D": "it was trained on AffectNet too, which is not public",
}


def update_documents() -> list[str]:
    """Write the tables of both documents anew from those in outputs/published/tables; return what
    was done."""
    done = []
    for name, text in documents().items():
        path = paths.ROOT / name
        changed = path.read_text() != text
        if changed:
            artifacts.write_atomically(path, text)
        done.append(f"{name}: {'results written' if changed else 'up to date'}")
    return done


def documents() -> dict[str, str]:
    """Both documents as they must be: their own text around the tables made from the
    published results."""
    content = generated(*(_table(name) for name in ("results", "changes", "learning_curve")))
    return {
        name: filled((paths.ROOT / name).read_text(), {key: content[key] for key in keys}, name)
        for name, keys in DOCUMENTS.items()
    }


def generated(results: pd.DataFrame, gains: pd.DataFrame, curve: pd.DataFrame) -> dict[str, str]:
    """What of the documents is made from tables of a run, as Markdown, by the name that its markers
    have."""
    return {
        "verdicts": _markdown(verdicts(results, gains)),
        "results": _results(results),
        "changes": _changes(gains),
        "few faces": _markdown(comparison.curve_text(curve)),
    }


def filled(document: str, content: Mapping[str, str], file: str) -> str:
    """The text of a document, of the file of that name, with `content` between its markers. Raises
    `EvaluationError` without markers."""
    for name, text in content.items():
        before, begin, rest = document.partition(f"<!-- {name}:begin -->")
        _, end, after = rest.partition(f"<!-- {name}:end -->")
        if not begin or not end:
            marks = f"<!-- {name}:begin --> and <!-- {name}:end -->"
            raise scoring.EvaluationError(f"{file}: {marks} must stand around its {name}")
        document = f"{before}{begin}\n{text}{end}{after}"
    return document


def verdicts(results: pd.DataFrame, gains: pd.DataFrame) -> pd.DataFrame:
    """A row a system, as text: its highest published figure beside this study's, how many of its
    figures and of its gains are reached, and the verdict; last the study's own ensemble.

    A figure is reached when it is not above the 95 % interval of the accuracy here, views averaged,
    on the split that it was published for; a gain, when not above that of the same change.
    """
    figures = tables.outcome(results).dropna(subset=["published", "accuracy"])
    figures = figures[figures.preferred & (figures.split == figures.measured_on)]
    catalogue = scoring.catalogue()
    known = gains.dropna(subset="published")
    known = known[~known.after.str.endswith(parameters.PUBLISHED_RECIPE)]
    rows = []
    for system, ours in figures.groupby("system"):
        best = ours.iloc[int(ours.published.argmax())]
        pairs = known.loc[[catalogue[name].system == system for name in known.after]]
        reached, gained = ours.high >= ours.published, pairs.high >= pairs.published
        whole = reached.all() and gained.all() and system not in LIMITED
        none = not (reached.any() or gained.any())
        row = {"system": system, "network": best["name"], "split": best.split}
        row |= {"published": f"{best.published:.2f}"}
        row |= {"here": tables.accuracy(results, best.split, best["name"])}
        row |= {"figures reached": f"{reached.sum()} of {len(ours)}"}
        row |= {"gains reached": f"{gained.sum()} of {len(pairs)}" if len(pairs) else ""}
        verdict = "reproduced" if whole else "not reproduced" if none else "reproduced in part"
        rows.append(row | {"verdict": verdict})
    own = tables.accuracy(results, "official", parameters.STUDY_ENSEMBLE)
    rows.append({"system": "own", "network": parameters.STUDY_ENSEMBLE, "split": "official"})
    rows[-1] |= {"here": own}
    return pd.DataFrame(rows).fillna("")


def _table(name: str) -> pd.DataFrame:
    path = paths.outputs(PUBLISHED) / "tables" / f"{name}.csv"
    if not path.exists():
        raise PublishingError(
            f"{path.relative_to(paths.ROOT)}: missing; ./run_all.sh --profile published makes it"
        )
    return pd.read_csv(path)


def _markdown(rows: pd.DataFrame) -> str:
    names = {column: "`" + rows[column] + "`" for column in CODE if column in rows and len(rows)}
    return tables.markdown(rows.assign(**names)) + "\n"


def _changes(gains: pd.DataFrame) -> str:
    """What each change brings as Markdown: a table a change."""
    parts = [
        f"**{change.title}**\n\n{_markdown(comparison.changes_text(gains, key))}"
        for key, change in parameters.changes().items()
        if key in set(gains.change)
    ]
    return "\n".join(parts)


def _results(results: pd.DataFrame) -> str:
    """All results as Markdown: every system's networks, published beside its own and the official
    split."""
    rows = tables.everything(results)
    known = tables.entries().keys() | set(
        parameters.network_names()
    )  # no averages of what nobody trained
    waiting = ", ".join(
        f"`{name}`" for name in scoring.catalogue() if name in known - set(results.network)
    )
    waiting = f"\n\nBuilt and not trained on all faces yet: {waiting}." if waiting else ""
    return f"{_markdown(rows)}\n{_note(results)}{waiting}\n"


def _note(results: pd.DataFrame) -> str:
    test = results[(results.part == "test") & results.tta]
    faces = {str(split): int(rows.n.iloc[0]) for split, rows in test.groupby("split")}
    counts = ", ".join(f"{n:,} on `{split}`" for split, n in faces.items())
    hardware = "; ".join(sorted(set(test[test.table == "networks"].device.dropna())))
    return (
        "Test accuracy in %, averaged over ten views of each face (as it is, smaller, larger, "
        "turned either way, each also mirrored), for the SVMs, `dsift_cnn_following` and system "
        "A's CNNs over the face and its mirror image, with 95 % bootstrap intervals over faces "
        f"({counts}). Split: what the published figure was measured on; pooled ones shuffle all "
        "faces, as their systems did; system C does not state its own. Official split: the same "
        "classes, trained on Training, chosen on PublicTest, PrivateTest only scored. Duplicates "
        "removed: test faces (of the split, where run, else official) without an exact duplicate "
        f"in training or validation. Training and its time: on {hardware or 'nothing yet'}."
    )
