"""`python -m fercore recognise`: expressions in pictures, folders or a video, printed or written to
files."""

import csv
import io
import json
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from fercore import artifacts
from fercore.data import pictures
from fercore.recognition import recogniser as recognition
from fercore.recognition.recogniser import Face, Recogniser, RecognitionError

VIDEOS = (
    ".mp4",
    ".avi",
    ".mov",
    ".mkv",
    ".webm",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".mts",
    ".3gp",
    ".ogv",
    ".flv",
)
FORMATS = ("csv", "json", "png")


def run(options: Namespace) -> int:
    """Recognise `options.paths`. Exit status 0: all done; 1: some of several pictures could not be
    read; 2, by a `ValueError`: nothing done.
    """
    paths, out = [Path(path) for path in options.paths], Path(options.out) if options.out else None
    for path in paths:
        if not path.exists():
            raise RecognitionError(f"{path}: no such file or folder")
        if path.suffix.lower() in VIDEOS:
            if len(paths) > 1:
                raise RecognitionError(
                    f"{path.name}: give a video by itself, {len(paths)} paths were given"
                )
            return _video(path, out, options)
    chosen = _format(options.format, out)
    several = len(paths) > 1 or paths[0].is_dir()
    files = list(
        dict.fromkeys(
            file for path in paths for file in (pictures.listed(path) if path.is_dir() else [path])
        )
    )
    targets = _targets(files, out) if chosen == "png" and several else [out]
    if out is not None:
        _check_writable(out, folder=chosen == "png" and several)
        _check_spared(files, targets)
    recogniser = _recogniser(options)
    if chosen == "png":
        return _write_pictures(files, targets, several, recogniser)
    found = {file: faces for file, _, faces in _recognised(files, several, recogniser)}
    _write(_text(list(found), list(found.values()), chosen, recogniser.class_names), out)
    return int(len(found) < len(files))


def _targets(files: list[Path], out: Path) -> list[Path]:
    """A .png in `out` for each file: its stem, or its whole name where others have the same
    stem."""
    stems, names = Counter(file.stem for file in files), Counter(file.name for file in files)
    if twice := [str(file) for file in files if names[file.name] > 1]:
        raise RecognitionError(
            f"{' and '.join(twice[:2])} would both be written to {Path(twice[0]).name}.png; "
            "recognise them one by one"
        )
    return [out / f"{file.stem if stems[file.stem] == 1 else file.name}.png" for file in files]


def _recogniser(options: Namespace) -> Recogniser:
    return Recogniser(
        options.model,
        options.detector,
        margin=options.margin,
        precision=options.precision,
        views=options.views,
    )


def _video(path: Path, out: Path | None, options: Namespace) -> int:
    from fercore.recognition import video

    outcome = video.recognise_video(path, _recogniser(options), out=out, format=options.format)
    for remark in outcome.remarks:
        _tell(f"{path.name}: {remark}")
    for file in filter(None, (outcome.video, outcome.table, outcome.timeline)):
        print(file)
    return 130 if outcome.interrupted else 0


def _format(wanted: str | None, out: Path | None) -> str | None:
    """The format asked for, or that of the output's name; None: a table for people."""
    suffix = out.suffix.lower().lstrip(".") if out is not None else ""
    if out is None and wanted == "png":
        raise RecognitionError("png needs --out, a file for one picture, a folder for several")
    if wanted is not None and wanted not in FORMATS:
        raise RecognitionError(
            f"format {wanted!r} is for videos; pictures take {', '.join(FORMATS)}"
        )
    if wanted is None and out is not None and suffix not in ("", *FORMATS):
        raise RecognitionError(
            f"{out.name}: what is wanted? Name it .csv, .json or .png, or give --format"
        )
    return wanted or (suffix or "png" if out is not None else None)


def _recognised(
    files: list[Path], several: bool, recogniser: Recogniser
) -> Iterator[tuple[Path, np.ndarray, list[Face]]]:
    """(file, pixels, faces) of each picture that can be read. A bad one of several is told, a
    single one raises."""
    for file in artifacts.progress(files, "pictures"):
        try:
            rgb = pictures.read(file)
            faces = recogniser.recognise(rgb)[0]
            if not faces and not several:
                raise RecognitionError(
                    f"{file.name}: no face found; try another --detector, or --detector whole when "
                    "the picture is a face"
                )
        except ValueError as error:
            if not several:
                raise
            _tell(str(error))
            continue
        if not faces:
            _tell(f"{file.name}: no face found")
        yield file, rgb, faces


def _write_pictures(
    files: list[Path], targets: list[Path], several: bool, recogniser: Recogniser
) -> int:
    from fercore.recognition import annotation

    done, place = 0, dict(zip(files, targets, strict=True))
    for file, rgb, faces in _recognised(files, several, recogniser):
        buffer = io.BytesIO()
        Image.fromarray(annotation.annotate(rgb, faces)).save(buffer, "PNG")
        _save(place[file], buffer.getvalue())
        done += 1
    return int(done < len(files))


def _text(
    files: list[Path], results: list[list[Face]], chosen: str | None, class_names: tuple[str, ...]
) -> str:
    if chosen == "json":
        rows = [
            {"picture": str(file), "faces": recognition.rows([file], [faces])}
            for file, faces in zip(files, results, strict=True)
        ]
        return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    rows = recognition.rows(files, results)
    return _csv(rows, class_names) if chosen == "csv" else _readable(rows)


def _csv(rows: list[dict], class_names: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*recognition.COLUMNS, *class_names], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in row.items()
        }
        for row in rows
    )
    return buffer.getvalue()


def _readable(rows: list[dict]) -> str:
    """A line a face: picture, place, expression, then the next two by probability."""
    lines = []
    for row in rows:
        names = [name for name in row if name not in recognition.COLUMNS]
        best = sorted(names, key=lambda name: -row[name])[:3]
        place = f"{row['width']}×{row['height']} at {row['x']},{row['y']}"
        lines.append(
            (Path(row["picture"]).name, place, *(f"{name} {row[name]:.0%}" for name in best))
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )


def _write(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
    else:
        _save(out, text)


def _save(path: Path, data: bytes | str) -> None:
    try:
        artifacts.write_atomically(path, data)
    except OSError as error:
        raise RecognitionError(f"{path}: cannot be written ({error.strerror})") from error


def _check_writable(out: Path, *, folder: bool) -> None:
    """Find out before the work whether its result can be kept."""
    if folder and out.suffix.lower() == ".png":
        raise RecognitionError(f"{out}: for several pictures, --out is a folder")
    if not folder and out.is_dir():
        raise RecognitionError(f"{out}: a folder; give the name of a file")
    try:
        place = out if folder else out.parent
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise RecognitionError(f"{out}: cannot be written ({error.strerror})") from error


def _check_spared(files: list[Path], targets: list[Path]) -> None:
    """No result takes the place of a picture that is read, by whatever name either goes."""
    read = {_identity(file) for file in files} - {None}
    for target in targets:
        if _identity(target) in read:
            raise RecognitionError(
                f"{target}: the output would overwrite a picture that is read; give another --out"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """What is the same for all names of a file; None when there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _tell(line: str) -> None:
    print(f"fercore: {line}", file=sys.stderr)
