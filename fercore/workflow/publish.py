"""What of a run on FER2013 is committed: predictions, records, histories of single networks. The
rest follows.

Of trainings on a share of the faces, which are many, the table of their accuracies alone.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.data.splits import SPLITS
from fercore.evaluation import comparison
from fercore.workflow import pages, plan

PUBLISHED = "published"
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
            texts = (column.astype(object).where(column.notna(), "") for column in (one, other))
            wrong |= np.not_equal(*(text.astype(str).to_numpy(object) for text in texts))
    return int(wrong.sum())


def _kept_tables(folder: Path) -> list[Path]:
    """Tables that were measured once, at length."""
    found = (folder / "tables").glob
    return [path for pattern in plan.TABLES.values() for path in found(pattern)]


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
