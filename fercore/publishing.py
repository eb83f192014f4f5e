"""What of a run on FER2013 is committed: predictions, records, histories of single networks. The rest follows.

Of trainings on a share of the faces, which are many, the table of their accuracies alone.
"""
import shutil
from pathlib import Path

import pandas as pd

from fercore import costs, learning_curve, parameters, paths, report, runs, tables
from fercore.protocols import PROTOCOLS

PUBLISHED = "published"
LIMIT = 8_000_000  # bytes of outputs/published; the tracked files of the repository stay below 10 MB


class PublishingError(ValueError):
    """A run that must not be published."""


def publish(profile: str) -> str:
    """Copy predictions, records and histories of a run into outputs/published; return what was done, in a line.

    Networks that are published already and not part of the run stay. Raises `PublishingError` for a run on other
    data than FER2013, on a part of it, or one too large.
    """
    source, target = paths.outputs(profile), paths.outputs(PUBLISHED)
    keys = [key for key in runs.list_predictions(source) if key[1] in parameters.network_names()]
    if not keys:
        raise PublishingError(f"outputs/{profile}: no predictions; run ./run_all.sh --profile {profile} first")
    files = [path for key in keys for path in _files(source, key)]
    for key in keys:
        _check(runs.read_record(source, *key), key)
    size = sum(path.stat().st_size for path in files)
    if size > LIMIT:
        raise PublishingError(f"outputs/{profile}: {size / 1e6:.1f} MB of predictions, more than {LIMIT / 1e6:.0f} MB")
    for path in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    if len(own := costs.read_own_way(source)):
        costs.write_own_way(target, own)
    learning_curve.add(target, learning_curve.read(source), data=learning_curve.FER2013)
    return f"{len(keys)} networks, {size / 1e6:.1f} MB, in outputs/{PUBLISHED}; now ./run_all.sh --profile {PUBLISHED}"


def update_readme() -> str:
    """Write the results table of README.md anew from outputs/published/tables/results.csv; return what was done."""
    path = paths.ROOT / "README.md"
    text = readme()
    if path.read_text() == text:
        return "README.md: up to date"
    runs.write_atomically(path, text)
    return "README.md: results table written"


def readme() -> str:
    """README.md as it must be: its own text around the table made from the published results."""
    results = paths.outputs(PUBLISHED) / "tables" / "results.csv"
    if not results.exists():
        raise PublishingError(f"{results.relative_to(paths.ROOT)}: missing; ./run_all.sh --profile published makes it")
    return tables.with_results((paths.ROOT / "README.md").read_text(), pd.read_csv(results))


def _files(folder: Path, key: tuple[str, str, int]) -> list[Path]:
    if PROTOCOLS[key[0]].share < 1:
        return []
    predictions = runs.prediction_path(folder, *key)
    found = [predictions, predictions.with_suffix(".json"), runs.history_path(folder, *key)]
    return [path for path in found if path.exists()]


def _check(record: dict, key: tuple[str, str, int]) -> None:
    """FER2013 only, all of it, and no path of a machine in the record."""
    name, data = " ".join(map(str, key)), record["data"]
    if not data["origin"].startswith("FER2013"):
        raise PublishingError(f"{name}: made on {data['origin']}; only runs on FER2013 are published")
    if data.get("subset") is not None:
        raise PublishingError(f"{name}: made on {data['n']} faces only; publish a run with `subset: null`")
    found = report.machine_paths(str(record))
    if found:
        raise PublishingError(f"{name}: its record holds a path of the machine: {found[0]}")
