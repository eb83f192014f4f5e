"""What a run leaves behind: files written whole or not at all, predictions, provenance."""

import errno
import json
import logging
import os
import platform
import secrets
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fercore import in_kernel, paths

if TYPE_CHECKING:
    import pandas as pd
    from tqdm import tqdm

VALIDATION, TEST = 1, 2
UNFINISHED = ".unfinished"
PACKAGES = ("keras", "tensorflow", "jax", "numpy", "opencv-python-headless", "scikit-learn")

log = logging.getLogger(__name__)


class RunError(ValueError):
    """A file of a run is missing or damaged."""


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of validation and test faces: `row_ids` int32 [n]; `part` int8 [n], 1
    validation, 2 test; `probabilities` float [n, c]; `probabilities_tta`, averaged over views."""

    row_ids: np.ndarray
    part: np.ndarray
    probabilities: np.ndarray
    probabilities_tta: np.ndarray

    def of(self, part: int) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of one part, as they are and averaged over views."""
        chosen = self.part == part
        return self.probabilities[chosen], self.probabilities_tta[chosen]


def printable(text: object, limit: int = 80) -> str:
    """One line of at most `limit` characters, of a path its end; what a terminal obeys is '?'."""
    shown = "".join(c if c.isprintable() else "?" for c in str(text))
    if len(shown) > limit:
        shown = f"…{shown[1 - limit :]}" if isinstance(text, Path) else f"{shown[: limit - 1]}…"
    return shown


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, which it replaces when the block ends well: `path` is whole
    or not there, also after a power cut. What a kill leaves is removed by `remove_unfinished`."""
    path = Path(os.path.realpath(path))  # what a link leads to
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "a folder or a device, not a file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}{UNFINISHED}")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(OSError):  # it has taken its name, or was never made
            temporary.unlink()


def write_atomically(path: Path, data: bytes | str) -> Path:
    """Write `data` to `path`: the file is whole or not there."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    return Path(path)


def remove_unfinished(*folders: Path) -> None:
    """Remove temporary files that nobody has written to for an hour: their process is gone."""
    for path in (one for folder in folders for one in Path(folder).rglob(f".*{UNFINISHED}")):
        with suppress(OSError):  # just finished
            if time.time() - path.stat().st_mtime > 3600:
                path.unlink()


def write_arrays(path: Path, compression: int = zipfile.ZIP_DEFLATED, **arrays: np.ndarray) -> Path:
    """Write named arrays as .npz, atomically. `compression` is one of zipfile's."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # of no date: equal arrays are equal files
            member.compress_type = compression
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return Path(path)


def cached(
    path: Path,
    key: str,
    compute: Callable[[], Mapping[str, np.ndarray]],
    compression: int = zipfile.ZIP_STORED,
) -> dict[str, np.ndarray]:
    """The named arrays that `compute` gives, kept in `path` under the same `key` if it can be."""
    try:
        if path.exists():
            with np.load(path) as file:  # compares check sums
                if str(file["key"]) == key:
                    return {name: file[name] for name in file.files if name != "key"}
    except Exception as error:  # a damaged file shows itself in many ways
        log.warning("%s: cache not usable (%s); made again", path.name, type(error).__name__)
    arrays = dict(compute())
    try:
        write_arrays(path, compression, **arrays, key=np.array(key))
    except OSError as error:
        log.warning("%s: cannot be kept (%s); going on without", path, error.strerror)
    return arrays


def write_json(path: Path, content: dict) -> Path:
    """Write `content` as indented JSON, atomically."""
    return write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def prediction_path(folder: Path, split: str, network: str, seed: int) -> Path:
    """Where predictions lie inside a run's folder; the record is beside, as .json."""
    return Path(folder, "predictions", split, network, f"seed{seed}.npz")


def history_path(folder: Path, split: str, network: str, seed: int) -> Path:
    """Where the training history of a network lies inside a run's folder."""
    return Path(folder, "histories", split, network, f"seed{seed}.csv")


def model_path(folder: Path, split: str, network: str, seed: int) -> Path:
    """Where the trained model of a network lies inside a run's folder."""
    return Path(folder, "models", split, network, f"seed{seed}.keras")


def save_predictions(
    folder: Path, split: str, network: str, seed: int, predictions: Predictions, record: dict
) -> Path:
    """Save probabilities, as float16 and rounded, which halves the file, and their record."""
    path, rows = prediction_path(folder, split, network, seed), _by_row(predictions)
    write_arrays(
        path,
        zipfile.ZIP_BZIP2,
        row_ids=rows.row_ids.astype(np.int32),
        split=rows.part.astype(np.int8),
        probabilities=_rounded(rows.probabilities),
        probabilities_tta=_rounded(rows.probabilities_tta),
    )
    write_json(path.with_suffix(".json"), record)
    return path


def _by_row(predictions: Predictions) -> Predictions:
    order = np.lexsort((predictions.row_ids, predictions.part))
    return Predictions(*(array[order] for array in vars(predictions).values()))


def _rounded(probabilities: np.ndarray) -> np.ndarray:
    """To three decimals; what is below a tenth, and not near the face's highest, to .005."""
    exact = np.asarray(probabilities, np.float64)
    decides_nothing = (exact < 0.1) & (exact.max(-1, keepdims=True) > 0.11)
    rounded = np.where(decides_nothing, np.round(200 * exact) / 200, np.round(exact, 3))
    return rounded.astype(np.float16)


def load_predictions(folder: Path, split: str, network: str, seed: int) -> Predictions:
    """What `save_predictions` wrote, by part and row. Raises `RunError`: missing or damaged."""
    with _naming(prediction_path(folder, split, network, seed)) as path, np.load(path) as file:
        names = ("row_ids", "split", "probabilities", "probabilities_tta")
        return _by_row(Predictions(*(file[name] for name in names)))


def read_record(folder: Path, split: str, network: str, seed: int) -> dict:
    """The record saved beside the predictions. Raises `RunError` when it is missing or damaged."""
    with _naming(prediction_path(folder, split, network, seed).with_suffix(".json")) as path:
        record = json.loads(path.read_text())
    if "protocol" in record:  # as records of 2026 call the split
        record["split"] = record.pop("protocol")
    return record


@contextmanager
def _naming(path: Path) -> Iterator[Path]:
    """Whatever goes wrong with the file of a training is a `RunError` that names it."""
    try:
        yield path
    except FileNotFoundError:
        split, network = path.parts[-3:-1]
        raise RunError(f"{paths.place(path)}: missing; train {network} on {split} first") from None
    except Exception as error:
        raise RunError(f"{paths.place(path)}: damaged ({error}); delete it") from error


def list_predictions(folder: Path) -> list[tuple[str, str, int]]:
    """(split, network, seed) of all predictions in a run's folder, sorted."""
    found = (Path(folder) / "predictions").glob("*/*/seed*.npz")
    return sorted((p.parts[-3], p.parts[-2], int(p.stem.removeprefix("seed"))) for p in found)


def duration(seconds: float) -> str:
    """Seconds as people say them: '45 s', '21 min', '3.2 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def say(message: object, *_, **__) -> None:
    """A line of a command on standard error; `warnings.showwarning` may be this."""
    print(f"fercore: {message}", file=sys.stderr)


def best_epoch(history: "pd.DataFrame") -> "pd.Series":
    """The row of a history whose weights were kept: the best on validation of whole-size faces."""
    full = history[history.side == history.side.iloc[-1]] if "side" in history else history
    return full.iloc[int(np.nanargmax(full.val_accuracy))]


def progress(
    iterable: Iterable | None = None, description: str = "", total: int | None = None
) -> "tqdm":
    """A progress bar with time left, gone at the end; silent when nobody looks. In notebooks it is
    text on standard output: a widget would leave an error when the notebook is opened again."""
    from tqdm import tqdm

    watched = in_kernel() or bool(sys.stderr and sys.stderr.isatty())
    silent = not watched or bool({"PAPERMILL", "NBCONVERT"} & os.environ.keys())
    file = sys.stdout if in_kernel() else sys.stderr
    return tqdm(iterable, description, total, leave=False, disable=silent, file=file)


def provenance() -> dict:
    """Code, versions and machine behind a result."""
    from importlib import metadata

    commit = _commit()
    installed = {one.name: one.version for one in metadata.distributions() if one.name in PACKAGES}
    return {
        "git_commit": commit.removesuffix("-dirty") or None,
        "git_dirty": commit.endswith("-dirty"),
        "versions": {"python": platform.python_version()} | installed,
        "processor": _processor(),
        "cores": cores(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _commit() -> str:
    """The commit of the code, with '-dirty' where tracked files differ; '' outside of git."""
    how = ("git", "-C", paths.ROOT, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    with suppress(OSError):
        return subprocess.run(how, capture_output=True, text=True).stdout.strip()
    return ""


def _processor() -> str:
    with suppress(OSError, IndexError):
        return Path("/proc/cpuinfo").read_text().split("model name\t: ")[1].splitlines()[0]
    return platform.processor() or platform.machine()
