"""Find, read and verify FER2013 and the FER+ votes; give faces that know where they come from."""

import hashlib
import logging
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from fercore import artifacts, paths
from fercore.data import affectnet, drawing, fingerprints, readers, synthetic
from fercore.data import faces as faces_module
from fercore.data.faces import CLASS_NAMES, USAGES, DatasetError, Faces, from_arrays
from fercore.data.readers import (
    COMPRESSED,
    CSV_NAMES,
    PICTURES,
    class_names_of,
    is_csv,
    read_csv,
    read_folder,
)

__all__ = [
    "CLASS_NAMES",
    "USAGES",
    "VOTE_NAMES",
    "DatasetError",
    "Faces",
    "find",
    "load",
    "load_votes",
    "subset",
]

SYNTHETIC = "synthetic"
VOTES_FILE = "fer2013new.csv"
VOTE_NAMES = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)
FERPLUS_PAGE = "github.com/microsoft/FERPlus"
KAGGLE_DATASET = "deadskull7/fer2013"  # fer2013.csv as in the challenge, not recompressed pictures
log = logging.getLogger(__name__)


def load(source: str | Path | None = None) -> Faces:
    """FER2013, or the embedded synthetic faces when it is nowhere.

    First hit wins: `source` (a file, a folder, or "synthetic"); `FER2013` in the environment; the
    project's data folder; Kaggle, when credentials are there. Raises `DatasetError` when what is
    named cannot be used.
    """
    path = find(source)
    if path is None:
        code = "".join(
            _digest(Path(module.__file__)) for module in (synthetic, drawing, faces_module)
        )
        return _cached(code, synthetic.faces)
    return replace(_cached(_state(path), lambda: _read(path)), source=str(path))


def find(source: str | Path | None = None) -> Path | None:
    """The file or folder of pictures that `load` would read; None for the synthetic faces."""
    named = source or os.environ.get("FER2013")
    if named == SYNTHETIC:
        return None
    if named:
        return _within(_existing(named))
    if paths.DATA.is_dir() and (found := _candidate(paths.DATA)):
        return found
    downloaded = _download()
    if downloaded is None:
        log.info(
            "No FER2013 found: using the embedded synthetic faces. Give `data`, set FER2013, or fill data/."
        )
    return downloaded


def subset(faces: Faces, per_split: int | None, seed: int = 0) -> Faces:
    """At most `per_split` faces of each usage, in the class proportions of that usage; None means
    all.

    At least one face of each class stays when `per_split` allows it. Order is kept.
    """
    if per_split is None:
        return faces
    if per_split < 1:
        raise DatasetError(
            f"subset is {per_split}; give a positive number of faces per split, or None for all"
        )
    generator = np.random.default_rng(seed)
    chosen = [_stratified(faces, usage, per_split, generator) for usage in USAGES]
    return faces.select(np.sort(np.concatenate(chosen)))


def _stratified(faces: Faces, usage: str, size: int, generator: np.random.Generator) -> np.ndarray:
    """Positions of `size` faces of a usage: shuffled classes are interleaved by rank, and the first
    ones taken."""
    positions = generator.permutation(np.flatnonzero(faces.usage == usage))
    rank = np.empty(len(positions))
    for label in range(len(faces.class_names)):
        members = np.flatnonzero(faces.labels[positions] == label)
        rank[members] = np.arange(len(members)) / max(len(members), 1)
    return positions[np.argsort(rank, kind="stable")[:size]]


def load_votes(faces: Faces) -> np.ndarray:
    """The FER+ votes of each face, int8 [n, 10], columns `VOTE_NAMES`, joined by row of
    fer2013.csv.

    First hit wins: `FERPLUS` in the environment (the votes' file or its folder); fer2013new.csv
    beside the file that the faces were read from, or in the folder above; the project's data
    folder. Synthetic faces have synthetic votes. Raises `DatasetError`, also when `FERPLUS` names
    nothing.
    """
    if faces.origin == synthetic.ORIGIN:
        return synthetic.votes(faces, VOTE_NAMES)
    path = _find_votes(faces.source)
    votes, usage = _read_votes(path)
    if not fingerprints.in_file_order(faces):
        raise DatasetError(
            f"{path.name}: FER+ votes go by row of fer2013.csv; not these faces' rows ({faces.origin})"
        )
    if len(votes) <= faces.row_ids.max(initial=0) or (usage[faces.row_ids] != faces.usage).any():
        raise DatasetError(
            f"{path.name}: Usage differs from that of the faces; take the file of {FERPLUS_PAGE}"
        )
    return votes[faces.row_ids]


def _find_votes(source: str) -> Path:
    if named := os.environ.get("FERPLUS"):
        for path in _meant(named):
            for file in (path, path / VOTES_FILE):
                if file.is_file():
                    return file
        raise DatasetError(
            f"FERPLUS={named}: no file, and no folder with {VOTES_FILE} ({FERPLUS_PAGE})"
        )
    read = Path(source).absolute()
    beside = (read, *read.parents[:2]) if source else ()
    for folder in (*beside, paths.DATA):
        if (folder / VOTES_FILE).is_file():
            return folder / VOTES_FILE
    raise DatasetError(
        f"{VOTES_FILE}: not found; put it beside fer2013.csv or set FERPLUS ({FERPLUS_PAGE})"
    )


def _read_votes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Votes int8 [rows, 10] and usage str [rows] of a FER+ file."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    header = [name.strip() for name in lines[0].split(",")] if lines else []
    if tuple(header[2:]) != VOTE_NAMES:
        raise DatasetError(
            f"{path.name}: line 1 is not Usage,Image name,{','.join(VOTE_NAMES)}; see {FERPLUS_PAGE}"
        )
    votes = np.zeros((len(lines) - 1, len(VOTE_NAMES)), np.int8)
    usage = []
    for row, line in enumerate(lines[1:]):
        fields = line.split(",")
        if len(fields) != len(header) or not all(
            v.strip().isdigit() and int(v) < 100 for v in fields[2:]
        ):
            fault = f"not {len(VOTE_NAMES)} counts of votes; download the file again"
            raise DatasetError(f"{path.name}: row {row + 1} (line {row + 2}): {fault}")
        votes[row] = [int(v) for v in fields[2:]]
        usage.append(fields[0].strip())
    return votes, np.array(usage)


def _existing(named: str | Path) -> Path:
    """What the user named, from the working directory or the project's root."""
    for path in _meant(named):
        if path.exists():
            return path
    raise DatasetError(
        f"{named}: no such file or folder; give FER2013's CSV, archive or folder, or '{SYNTHETIC}'"
    )


def _meant(named: str | Path) -> tuple[Path, Path]:
    """What a path may mean: from the working directory, from the project's root."""
    given = Path(os.path.expanduser(named))  # Path's own raises for an unknown ~user
    return given, paths.ROOT / given


def _within(path: Path) -> Path:
    """`path` itself when it is a file, else what is to be read in the folder."""
    if path.is_file():
        if is_csv(path):
            return path
        raise DatasetError(
            f"{path.name}: not one of {', '.join(CSV_NAMES)}, plain or as {', '.join(COMPRESSED)}"
        )
    found = _candidate(path)
    if found is None:
        raise DatasetError(
            f"{path.name}: holds neither {', '.join(CSV_NAMES)} (plain or packed) nor pictures by class"
        )
    return found


def _candidate(folder: Path) -> Path | None:
    """The best thing to read in a folder: a known CSV, plain before packed, at most one folder
    down, else pictures."""
    files = [
        path for path in sorted(folder.glob("*")) + sorted(folder.glob("*/*")) if path.is_file()
    ]
    for name in CSV_NAMES:
        for ending in ("", *COMPRESSED):
            wanted = {name + ending, name.removesuffix(".csv") + ending}
            found = next((path for path in files if path.name.lower() in wanted), None)
            if found:
                return found
    pictures = (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURES and path.parent != folder
    )
    return folder if next(pictures, None) else None


def _download() -> Path | None:
    """FER2013 from Kaggle into kagglehub's own cache; None without credentials or without
    network."""
    has_key = {
        "KAGGLE_USERNAME",
        "KAGGLE_KEY",
    } <= os.environ.keys() or "KAGGLE_API_TOKEN" in os.environ
    if not has_key and not Path("~/.kaggle/kaggle.json").expanduser().is_file():
        return None
    try:
        import requests

        requests.head("https://www.kaggle.com", timeout=5)  # kagglehub alone would try for minutes
        import kagglehub

        return _within(Path(kagglehub.dataset_download(KAGGLE_DATASET)))
    # kagglehub raises many kinds, and none may stop a run that has other data
    except Exception as error:
        log.warning("Kaggle: %s could not be downloaded (%s)", KAGGLE_DATASET, type(error).__name__)
        return None


def _cached(key: str, read: Callable[[], Faces]) -> Faces:
    """The faces kept under `key`, or read now and kept; a damaged cache is made again."""
    path = paths.CACHE / "datasets" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    names = ("images", "labels", "row_ids", "usage", "class_names", "origin", "fingerprint")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names}
        text = {name: str(arrays[name]) for name in ("origin", "fingerprint")}
        return Faces(**arrays | text | {"class_names": tuple(arrays["class_names"].tolist())})
    except FileNotFoundError:
        pass
    except Exception as error:  # a damaged file shows itself in many ways
        log.warning("%s: damaged cache (%s); made again", path.name, type(error).__name__)
    faces = read()
    artifacts.write_arrays(
        path, zipfile.ZIP_STORED, **{name: np.asarray(getattr(faces, name)) for name in names}
    )
    return faces


def _read(path: Path) -> Faces:
    class_names = class_names_of(path)
    arrays = read_folder(path, class_names) if path.is_dir() else read_csv(path)
    if class_names != CLASS_NAMES:
        return from_arrays(*arrays, f"not FER2013: {path.name}", class_names)
    return from_arrays(*arrays, origin=fingerprints.name_of(*arrays, path.name))


def _state(path: Path) -> str:
    """Changes when the file, any file of the folder, its classes or the code that reads them
    change."""
    files = (
        sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURES)
        if path.is_dir()
        else [path]
    )
    code = [Path(module.__file__) for module in (affectnet, faces_module, readers, fingerprints)]
    states = [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return "\n".join([str(path.resolve()), *class_names_of(path), *states, *map(_digest, code)])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
