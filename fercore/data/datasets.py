"""Find and read FER2013, or what a user has instead; give faces that know where they come from."""

import hashlib
import logging
import os
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from fercore import artifacts, paths
from fercore.artifacts import printable
from fercore.data import fer2013, image_folders, pictures, synthetic
from fercore.data.faces import CLASS_NAMES, USAGES, DatasetError, Faces, from_arrays

SYNTHETIC = "synthetic"
KAGGLE_DATASET = "deadskull7/fer2013"  # fer2013.csv as in the challenge, not recompressed pictures
KINDS = (".csv", ".zip", ".gz", ".tgz", ".tar", "")  # Kaggle's own tar has no ending

log = logging.getLogger(__name__)


def load(source: str | Path | None = None) -> Faces:
    """FER2013, or the embedded synthetic faces when it is nowhere; kept in `paths.CACHE`. First hit
    wins: `source` (a file, a folder, or "synthetic"); `FER2013` in the environment; the project's
    data folder; Kaggle, when credentials are there. Classes without faces are left out. Raises
    `DatasetError` when what is found cannot be used."""
    path = find(source)
    name = hashlib.sha256(repr(path and str(path.resolve())).encode()).hexdigest()
    return _kept(paths.CACHE / "datasets" / f"{name[:16]}.npz", _state(path), path)


@lru_cache(maxsize=2)  # the same faces are the same object
def _kept(place: Path, state: str, path: Path | None) -> Faces:
    def read() -> dict[str, np.ndarray]:
        return {key: np.asarray(value) for key, value in vars(_read(path)).items()}

    kept: dict = artifacts.cached(place, state, read)
    kept |= {key: str(kept[key]) for key in ("origin", "fingerprint")}
    return Faces(**kept | {"class_names": tuple(kept["class_names"].tolist())})


def facts() -> Faces:
    """FER2013's faces without pixels, images [n, 0, 0]: enough for splits, votes and tables."""
    labels, usage = fer2013.facts().labels, np.array(USAGES)[fer2013.facts().codes]
    images, rows = np.empty((len(labels), 0, 0), np.uint8), np.arange(len(labels), dtype=np.int32)
    origin = "FER2013, labels and votes without pixels"
    return Faces(images, labels, rows, usage, CLASS_NAMES, origin, fer2013.FINGERPRINT)


@lru_cache(maxsize=4)
def subset(faces: Faces, per_usage: int | None, seed: int = 0) -> Faces:
    """At most `per_usage` faces of each usage, all for None, drawn class by class, in order.
    Raises `DatasetError` for a number below 1."""
    if per_usage is None:
        return faces
    if per_usage < 1:
        raise DatasetError(f"subset is {per_usage}; give a number of faces of each usage, or None")
    rng = np.random.default_rng(seed)
    chosen = []
    for usage in USAGES:  # shuffled classes are interleaved by rank, and the first ones taken
        positions = rng.permutation(np.flatnonzero(faces.usage == usage))
        rank = np.empty(len(positions))
        for label in np.unique(faces.labels[positions]):
            members = np.flatnonzero(faces.labels[positions] == label)
            rank[members] = np.arange(len(members)) / len(members)
        chosen.append(positions[np.argsort(rank, kind="stable")[:per_usage]])
    return faces.select(np.sort(np.concatenate(chosen)))


def find(source: str | Path | None = None) -> Path | None:
    """The file or folder of pictures that `load` would read; None for the synthetic faces."""
    named = source or os.environ.get("FER2013")
    if named == SYNTHETIC:
        return None
    if named:
        given = Path(os.path.expanduser(named))  # Path's own raises for an unknown ~user
        for path in (given, paths.ROOT / given):
            if os.path.exists(path):
                return _within(path)
        cure = f"give FER2013's CSV, archive or folder, or '{SYNTHETIC}'"
        raise DatasetError(f"{printable(named)}: no such file or folder; {cure}")
    lying = sorted(path.name for path in paths.DATA.glob("[!.]*"))
    if lying not in ([], ["fer2013new.csv"]):  # FER+, whose votes come with the package
        try:
            return _within(paths.DATA)
        except DatasetError as error:
            listed = f"data/ holds {printable(', '.join(lying))}"
            raise DatasetError(f"{error}. {listed}; put FER2013 there or empty it") from error
    downloaded = _download()
    if downloaded is None:
        log.info("No FER2013 found: using the embedded synthetic faces. See data, FER2013, data/.")
    return downloaded


def _within(path: Path) -> Path:
    """A file itself; of a folder its best CSV, plain before packed, or itself for its pictures."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise DatasetError(f"{printable(path)}: neither a file nor a folder")
    files = [file for file in image_folders.files_below(path) if file.is_file()]
    tables = [file for file in files if file.suffix.lower() in KINDS]
    faults = []
    for file in sorted(tables, key=lambda file: (file.suffix.lower() != ".csv", file.name)):
        try:
            with fer2013.opened(file) as (content, _):
                header = re.findall(rb"\w+", content.readline(300).lower())
                if {b"emotion", b"pixels"} <= set(header):
                    return file
        except DatasetError as error:
            faults.append(error)
    if any(file.suffix.lower() in pictures.SUFFIXES and file.parent != path for file in files):
        lists = [file.parent for file in files if file.name == image_folders.CLASSES_FILE]
        return lists[0] if len(lists) == 1 else path
    if faults:
        raise faults[0]
    raise DatasetError(f"{printable(path.name)}: holds neither fer2013.csv nor pictures by class")


def _download() -> Path | None:
    """FER2013 from Kaggle into kagglehub's own cache; None without credentials or network."""
    try:
        import kagglehub
        import requests
        from kagglehub.config import get_kaggle_credentials

        if not get_kaggle_credentials():
            return None
        requests.head("https://www.kaggle.com", timeout=5)  # kagglehub alone would try for minutes
        return _within(Path(kagglehub.dataset_download(KAGGLE_DATASET)))
    except ImportError:  # only an extra brings them
        return None
    except Exception as error:  # of many kinds, and none may stop a run that has other data
        log.warning("%s could not be downloaded (%s)", KAGGLE_DATASET, type(error).__name__)
        return None


def _state(path: Path | None) -> str:
    """A hash of this code and of the size and time of each file that is read."""
    code = b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))
    files = [] if path is None else [path]
    if path and path.is_dir():
        files = list(image_folders.files_below(path))
    try:
        stats = [(str(file), file.stat()) for file in files if file.exists()]
    except OSError as error:
        raise DatasetError(f"{printable(path)}: cannot be read ({error.strerror})") from error
    states = [(name, state.st_size, state.st_mtime_ns) for name, state in stats]
    return hashlib.sha256(code + repr(states).encode()).hexdigest()


def _read(path: Path | None) -> Faces:
    if path is None:
        return synthetic.faces()
    class_names, shown = image_folders.class_names_of(path), printable(path.name)
    folder = path.is_dir()
    arrays = image_folders.read_folder(path, class_names) if folder else fer2013.read_csv(path)
    faces = from_arrays(*arrays, f"not FER2013: {shown}", class_names)
    if class_names == CLASS_NAMES:
        faces = fer2013.identified(faces, shown)
    present = np.unique(faces.labels)
    if len(present) < len(class_names):
        missing = [name for k, name in enumerate(class_names) if k not in present]
        log.warning("%s: no faces of %s; left out", shown, printable(", ".join(missing)))
        labels = np.searchsorted(present, faces.labels).astype(np.int8)
        faces = replace(faces, labels=labels, class_names=tuple(class_names[k] for k in present))
    return faces
