"""Which files of a run are committed: predictions, records, histories of single networks; of
trainings on a share of the faces, which are many, the table of accuracies. The rest follows."""

import shutil
from pathlib import Path

import pandas as pd

from fercore import artifacts, paths
from fercore.data.splits import SPLITS
from fercore.evaluation import comparison
from fercore.workflow import pages, plan
from fercore.workflow.pages import PUBLISHED

LIMIT = 8_000_000  # bytes of predictions: the repository is to stay small
# made of faces, not of predictions: without FER2013 they are of other faces
OF_FACES = ("leaks.csv", "descriptors.csv", "features.csv")


def publish(profile: str) -> str:
    """Copy predictions, records and histories of a run into outputs/published, beside what is
    published of other networks; return what was done, in a line. Raises `ValueError` for a run on
    other data than FER2013, on a part of it, or one too large."""
    source, target = paths.outputs(profile), paths.outputs(PUBLISHED)
    keys = plan.predicted(source)
    if not keys:
        cure = f"run ./run_all.sh --profile {profile} first"
        raise ValueError(f"outputs/{profile}: no predictions; {cure}")
    for key in keys:
        _check(artifacts.read_record(source, *key), " ".join(map(str, key)))
    files = [path for key in keys for path in _files(source, key)]
    size = sum(path.stat().st_size for path in files)
    if size > LIMIT:
        over = f"{size / 1e6:.1f} MB of predictions, more than {LIMIT / 1e6:.0f} MB"
        raise ValueError(f"outputs/{profile}: {over}")
    curve = source / "tables" / "learning_curve.csv"  # to which rows are added
    _copy(files + [path for path in _kept_tables(source) if path != curve], source, target)
    comparison.add_to_curve(target, comparison.read_curve(source), data=comparison.FER2013)
    what = f"{len(keys)} networks, {size / 1e6:.1f} MB, in outputs/{PUBLISHED}"
    return f"{what}; now ./run_all.sh --profile {PUBLISHED}"


def fetch(source: str, profile: str) -> None:
    """Copy into a run's folder what is published of another: predictions, records and histories of
    its networks, and the tables measured at length. Equal files keep their times."""
    folder = paths.outputs(source)
    files = [path for key in plan.predicted(folder) for path in _files(folder, key)]
    files += _kept_tables(folder) + [p for p in (folder / "search").rglob("*") if p.is_file()]
    _copy(files, folder, paths.outputs(profile))


def compare(source: str, profile: str) -> tuple[bool, str]:
    """Whether the tables of a run are those of another, and that in a line. Numbers may differ by
    a thousandth: another processor adds up in another order."""
    folder, rows, other = paths.outputs(source), 0, []
    left_out = {*OF_FACES, *(path.name for path in _kept_tables(folder))}
    for path in sorted((folder / "tables").glob("*.csv")):
        if path.name not in left_out and path.read_text().strip():
            expected, own = pd.read_csv(path), paths.outputs(profile) / "tables" / path.name
            rows += len(expected)
            if not (own.exists() and _equal(expected, pd.read_csv(own))):
                other.append(path.name)
    if other:
        return False, f"{rows:,} rows re-derived; not as committed: {', '.join(other)}"
    return True, f"{rows:,} rows re-derived, all equal to the committed ones"


def _equal(expected: pd.DataFrame, found: pd.DataFrame) -> bool:
    try:
        pd.testing.assert_frame_equal(expected, found, check_dtype=False, rtol=1e-4, atol=1e-3)
    except AssertionError:
        return False
    return True


def _copy(files: list[Path], source: Path, target: Path) -> None:
    """Copy files of one run into another's folder, but for those that are equal already."""
    for path in files:
        copy = target / path.relative_to(source)
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)  # one that a kill cut short differs, and is copied again


def _kept_tables(folder: Path) -> list[Path]:
    """Tables that were measured once, at length."""
    return [path for pattern in plan.TABLES.values() for path in (folder / "tables").glob(pattern)]


def _files(folder: Path, key: tuple[str, str, int]) -> list[Path]:
    if SPLITS[key[0]].share < 1:
        return []
    predictions = artifacts.prediction_path(folder, *key)
    found = [predictions, predictions.with_suffix(".json"), artifacts.history_path(folder, *key)]
    return [path for path in found if path.exists()]


def _check(record: dict, name: str) -> None:
    """FER2013 only, all of it, and no path of a machine in the record."""
    data = record["data"]
    if not data["origin"].startswith("FER2013"):
        raise ValueError(f"{name}: made on {data['origin']}; only runs on FER2013 are published")
    if data.get("subset") is not None:
        cure = "publish a run with `subset: null`"
        raise ValueError(f"{name}: made on {data['n']} faces only; {cure}")
    if found := pages.machine_paths(str(record)):
        raise ValueError(f"{name}: its record holds a path of the machine: {found[0]}")
