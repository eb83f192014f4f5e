"""What of a run on FER2013 is committed: predictions, records, histories of single networks. The
rest follows.

Of trainings on a share of the faces, which are many, the table of their accuracies alone.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.data.splits import SPLITS
from fercore.evaluation import comparison, scoring, tables
from fercore.workflow import pages, plan

PUBLISHED = "published"
DOCUMENTS = {
    "README.md": ("outcome",),
    "RESULTS.md": ("results", "changes", "few faces"),
}  # and their tables
CODE = ("network", "split", "before", "after", "recipe")  # columns of names in params/
# bytes of predictions; with them the repository takes 15 MB, 5 more than was first meant, for the
LIMIT = 8_000_000
# sake of system A's VGGs on its own split and of further seeds


class PublishingError(ValueError):
    """A run that must not be published."""


def publish(profile: str) -> str:
    """Copy predictions, records and histories of a run into outputs/published; return what was
    done, in a line.

    Networks that are published already and not part of the run stay. Raises `PublishingError` for a
    run on other data than FER2013, on a part of it, or one too large.
    """
    source, target = paths.outputs(profile), paths.outputs(PUBLISHED)
    keys = [
        key for key in artifacts.list_predictions(source) if key[1] in parameters.network_names()
    ]
    if not keys:
        raise PublishingError(
            f"outputs/{profile}: no predictions; run ./run_all.sh --profile {profile} first"
        )
    files = [path for key in keys for path in _files(source, key)]
    for key in keys:
        _check(artifacts.read_record(source, *key), key)
    size = sum(path.stat().st_size for path in files)
    if size > LIMIT:
        raise PublishingError(
            f"outputs/{profile}: {size / 1e6:.1f} MB of predictions, more than {LIMIT / 1e6:.0f} MB"
        )
    for path in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for path in _kept_tables(source):
        if path != comparison.curve_path(source):  # of that, rows are added
            artifacts.write_atomically(target / "tables" / path.name, path.read_bytes())
    comparison.add_to_curve(target, comparison.read_curve(source), data=comparison.FER2013)
    what = f"{len(keys)} networks, {size / 1e6:.1f} MB, in outputs/{PUBLISHED}"
    return f"{what}; now ./run_all.sh --profile {PUBLISHED}"


def fetch(source: str, profile: str) -> None:
    """Copy into a run's folder what is published of another: predictions, records and histories of
    its networks, and the tables measured at length. Files that are there already stay as old as
    they are."""
    folder, target = paths.outputs(source), paths.outputs(profile)
    known = parameters.network_names()
    keys = [key for key in artifacts.list_predictions(folder) if key[1] in known]
    files = [path for key in keys for path in _files(folder, key)]
    files += _kept_tables(folder) + [path for path in (folder / "search").rglob("*")]
    for path in (path for path in files if path.is_file()):
        copy = target / path.relative_to(folder)
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)  # one that a kill cut short differs, and is copied again


def compare(source: str, profile: str) -> tuple[bool, str]:
    """Whether the tables of a run are those of another, and that in a line. Numbers may differ by
    a thousandth: another processor adds up in another order."""
    folder, rows, other = paths.outputs(source), 0, []
    kept = [path.name for path in _kept_tables(folder)]
    for path in sorted((folder / "tables").glob("*.csv")):
        if path.name in kept or not path.read_text().strip():
            continue
        expected, own = pd.read_csv(path), paths.outputs(profile) / "tables" / path.name
        rows += len(expected)
        wrong = _differing(expected, pd.read_csv(own)) if own.exists() else len(expected)
        if wrong:
            other.append(f"{path.name} ({wrong} of {len(expected)})")
    if other:
        return False, f"{rows:,} rows re-derived; not as committed: {', '.join(other)}"
    return True, f"{rows:,} rows re-derived, all equal to the committed ones"


def _differing(expected: pd.DataFrame, found: pd.DataFrame) -> int:
    """Rows that differ, all if the tables are not of one shape."""
    if list(expected) != list(found) or len(expected) != len(found):
        return max(len(expected), 1)
    wrong = np.zeros(len(expected), bool)
    for name in expected:
        one, other = expected[name], found[name]
        if pd.api.types.is_numeric_dtype(one) and pd.api.types.is_numeric_dtype(other):
            wrong |= ~np.isclose(one.astype(float), other.astype(float), 1e-4, 1e-3, equal_nan=True)
        else:
            wrong |= (one.astype(str) != other.astype(str)).to_numpy()
    return int(wrong.sum())


def _kept_tables(folder: Path) -> list[Path]:
    """Tables that were measured once, at length."""
    found = (folder / "tables").glob
    return [path for pattern in plan.TABLES.values() for path in found(pattern)]


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
    """README.md and RESULTS.md as they must be: their own text around the tables made from the
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
        "outcome": _markdown(tables.foremost(results)),
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


def _files(folder: Path, key: tuple[str, str, int]) -> list[Path]:
    if SPLITS[key[0]].share < 1:
        return []
    predictions = artifacts.prediction_path(folder, *key)
    found = [predictions, predictions.with_suffix(".json"), artifacts.history_path(folder, *key)]
    return [path for path in found if path.exists()]


def _check(record: dict, key: tuple[str, str, int]) -> None:
    """FER2013 only, all of it, and no path of a machine in the record."""
    name, data = " ".join(map(str, key)), record["data"]
    if not data["origin"].startswith("FER2013"):
        raise PublishingError(
            f"{name}: made on {data['origin']}; only runs on FER2013 are published"
        )
    if data.get("subset") is not None:
        raise PublishingError(
            f"{name}: made on {data['n']} faces only; publish a run with `subset: null`"
        )
    found = pages.machine_paths(str(record))
    if found:
        raise PublishingError(f"{name}: its record holds a path of the machine: {found[0]}")


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
        "classes, trained on Training, chosen on PublicTest, PrivateTest only scored. Copies "
        "removed: test faces (of the split, where run, else official) without an exact copy in "
        f"training or validation. Training and its time: on {hardware or 'nothing yet'}."
    )
