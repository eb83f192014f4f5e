"""What a run leaves behind: files written whole or not at all, predictions, provenance."""

import json
import logging
import os
import platform
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tqdm import tqdm

from fercore import in_kernel, paths

if TYPE_CHECKING:
    import pandas as pd

VALIDATION, TEST = 1, 2
MEMBERS = ("row_ids", "split", "probabilities", "probabilities_tta")  # of a file of predictions
UNFINISHED = ".unfinished"

log = logging.getLogger(__name__)


class RunError(ValueError):
    """A file of a run is missing or damaged."""


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of a network or an aggregate, for validation and test faces.

    `row_ids` int32 [n]; `part` int8 [n], 1 validation, 2 test; `probabilities` float [n, classes];
    `probabilities_tta` likewise, averaged over as many views of the face as the network's file
    says: 1, 2 or 10.
    """

    row_ids: np.ndarray
    part: np.ndarray
    probabilities: np.ndarray
    probabilities_tta: np.ndarray

    def of(self, part: int) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of one part, as they are and averaged over views."""
        chosen = self.part == part
        return self.probabilities[chosen], self.probabilities_tta[chosen]


def printable(text: object, limit: int = 80) -> str:
    """At most `limit` characters of `text` on one line; what a terminal would obey becomes '?'."""
    shown = "".join(c if c.isprintable() else "?" for c in str(text))
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, which it replaces when the block ends well: `path` is whole
    or not there, also after a power cut. What a kill leaves is removed by `remove_unfinished`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = f"{platform.node()[:40]}-{os.getpid()}"
    handle, name = tempfile.mkstemp(f"{path.suffix}{UNFINISHED}", f".{owner}-", path.parent)
    try:
        os.close(handle)
        yield Path(name)
        with open(name, "rb") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def write_atomically(path: Path, data: bytes | str) -> Path:
    """Write `data` to `path`: the file is whole or not there."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    return Path(path)


def remove_unfinished(*folders: Path) -> None:
    """Remove temporary files of processes that are gone; those of other machines after a day."""
    for path in (one for folder in folders for one in Path(folder).rglob(f".*{UNFINISHED}")):
        with suppress(OSError):
            if _is_abandoned(path):
                path.unlink()


def _is_abandoned(path: Path) -> bool:
    host, _, process = path.name[1:].rpartition("-")[0].rpartition("-")
    if host != platform.node()[:40] or not process.isdigit():
        return time.time() - path.stat().st_mtime > 86_400
    try:
        os.kill(int(process), 0)
    except OSError as error:  # it may be another user's
        return isinstance(error, ProcessLookupError)
    return False


def write_arrays(
    path: Path, compression: int | Mapping[str, int] = zipfile.ZIP_DEFLATED, **arrays: np.ndarray
) -> Path:
    """Write named arrays as .npz, atomically. `compression` is one of zipfile's, for all arrays or
    by name."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            one = compression if isinstance(compression, int) else compression[name]
            member.compress_type = one
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return Path(path)


def cached(
    path: Path,
    key: str,
    compute: Callable[[], Mapping[str, np.ndarray]],
    compression: int = zipfile.ZIP_STORED,
) -> dict[str, np.ndarray]:
    """The named arrays that `compute` gives: read from `path` where it holds those of the same
    `key`, else computed and kept there.

    What is stored uncompressed is mapped into memory, not read; writing to such an array does not
    change the file. A damaged file is made again. A place that cannot be written is a warning, no
    error.
    """
    try:
        found = _mapped(path)
        if str(found.pop("key", "")) == key:
            return found
    except FileNotFoundError:
        pass
    except Exception as error:  # a damaged file shows itself in many ways
        log.warning("%s: cache not usable (%s); made again", path.name, type(error).__name__)
    arrays = dict(compute())
    try:
        write_arrays(path, compression, **arrays, key=np.array(key))
    except OSError as error:
        log.warning("%s: cannot be kept (%s); going on without", path, error.strerror)
    return arrays


def _mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz, checked; those stored uncompressed as copy-on-write maps of the
    file."""
    arrays = {}
    with zipfile.ZipFile(path) as archive, open(path, "rb") as raw:
        for member in archive.infolist():
            with archive.open(member) as file:
                if member.compress_type != zipfile.ZIP_STORED:
                    array = np.lib.format.read_array(file, allow_pickle=False)
                else:
                    while file.read(1 << 20):  # to the end, where its check sum is compared
                        pass
                    raw.seek(member.header_offset + 26)
                    raw.seek(sum(struct.unpack("<HH", raw.read(4))), os.SEEK_CUR)
                    np.lib.format.read_magic(raw)
                    shape, fortran, kind = np.lib.format.read_array_header_1_0(raw)
                    order: Literal["F", "C"] = "F" if fortran else "C"
                    mapped = np.memmap(raw, kind, "c", raw.tell(), shape, order)
                    array = np.asarray(mapped) if mapped.size else mapped
                arrays[member.filename.removesuffix(".npy")] = array
    return arrays


def write_json(path: Path, content: dict) -> Path:
    """Write `content` as indented JSON, atomically."""
    return write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def prediction_path(folder: Path, split: str, network: str, seed: int) -> Path:
    """Where predictions lie inside a run's folder; the record is beside, as .json."""
    return Path(folder) / "predictions" / split / network / f"seed{seed}.npz"


def history_path(folder: Path, split: str, network: str, seed: int) -> Path:
    """Where the training history of a network lies inside a run's folder."""
    return Path(folder) / "histories" / split / network / f"seed{seed}.csv"


def model_path(folder: Path, split: str, network: str, seed: int) -> Path:
    """Where the trained model of a network lies inside a run's folder."""
    return Path(folder) / "models" / split / network / f"seed{seed}.keras"


def save_predictions(
    folder: Path, split: str, network: str, seed: int, predictions: Predictions, record: dict
) -> Path:
    """Save probabilities and their record. To be packed in less than half the space they are
    float16 and rounded, and rows are sorted."""
    path, rows = prediction_path(folder, split, network, seed), _by_row(predictions)
    write_arrays(
        path,
        dict.fromkeys(MEMBERS, zipfile.ZIP_BZIP2) | {"row_ids": zipfile.ZIP_LZMA},
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
    """To three decimals, below a tenth, where the highest of the face is above .11, to multiples of
    .005: float16."""
    exact = np.asarray(probabilities, np.float64)
    decides_nothing = (exact < 0.1) & (exact.max(-1, keepdims=True) > 0.11)
    return np.where(decides_nothing, np.round(200 * exact) / 200, np.round(exact, 3)).astype(
        np.float16
    )


def load_predictions(folder: Path, split: str, network: str, seed: int) -> Predictions:
    """Read what `save_predictions` wrote: validation faces, then test faces, each in the order of
    `row_ids`. Raises `RunError` when it is missing or damaged."""
    path = prediction_path(folder, split, network, seed)
    try:
        with np.load(path, allow_pickle=False) as file:
            return _by_row(Predictions(*(file[name] for name in MEMBERS)))
    except FileNotFoundError:
        missing = f"no predictions; train {network} on {split} first"
        raise RunError(f"{_short(path)}: {missing}") from None
    except Exception as error:
        raise RunError(f"{_short(path)}: damaged ({error}); delete it") from error


def read_record(folder: Path, split: str, network: str, seed: int) -> dict:
    """The record saved beside the predictions. Raises `RunError` when it is missing or damaged."""
    path = prediction_path(folder, split, network, seed).with_suffix(".json")
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"{_short(path)}: no record; train {network} on {split} first") from None
    except ValueError as error:
        raise RunError(f"{_short(path)}: not JSON ({error}); train {network} again") from error
    if "protocol" in record:  # as records of 2026 call the split
        record["split"] = record.pop("protocol")
    return record


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


def best_epoch(history: "pd.DataFrame") -> "pd.Series":
    """The row of a history whose weights were kept: the most accurate on validation that saw
    whole-size faces."""
    full = history[history.side == history.side.iloc[-1]] if "side" in history else history
    return full.iloc[int(np.nanargmax(full.val_accuracy))]


def progress(
    iterable: Iterable | None = None, description: str = "", total: int | None = None
) -> tqdm:
    """A progress bar with time left, as text, gone at the end; silent when nobody looks.

    In a notebook it is written to standard output, which JupyterLab does not shade; a widget would
    leave an error there when the notebook is opened again.
    """
    unseen = {"PAPERMILL", "NBCONVERT"} & os.environ.keys() or not (
        in_kernel() or sys.stderr.isatty()
    )
    file = sys.stdout if in_kernel() else sys.stderr
    return tqdm(iterable, description, total, leave=False, disable=bool(unseen), file=file)


def _short(path: Path) -> str:
    return str(path.relative_to(paths.ROOT)) if path.is_relative_to(paths.ROOT) else path.name
