"""`fercore recognise`: expressions in pictures, folders or a video, printed or written to files."""

import csv
import io
import json
import os
import sys
import tempfile
import warnings
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np
from PIL import Image, PngImagePlugin

from fercore import artifacts
from fercore.artifacts import printable
from fercore.data import pictures
from fercore.recognition import annotation, video
from fercore.recognition import recogniser as recognition
from fercore.recognition.inference import Prior
from fercore.recognition.recogniser import Face, Recogniser, RecognitionError

FORMATS = ("csv", "json", "png")
PROGRAM = "fercore"  # in the PNG files that are written, so that they are known again
FAULTS = (ValueError, OSError, RuntimeError, MemoryError, cv2.error)
Recognised = tuple[Path, np.ndarray, list[Face] | None]


def run(options: Namespace) -> int:
    """Recognise `options.paths`. Exit status 0: all done; 1: some of several pictures could not be
    read; 130: interrupted, what was done is kept; 2, by a `ValueError`: nothing done.
    """
    paths = [Path(os.path.expanduser(path)) for path in options.paths]
    out = Path(os.path.expanduser(options.out)) if options.out else None
    films = [path for path in paths if video.is_video(path)]
    if films and len(paths) > 1:
        name = printable(films[0].name)
        raise RecognitionError(f"{name}: give a video by itself, {len(paths)} paths were given")
    with _warnings_as_lines():
        return _video(films[0], out, options) if films else _pictures(paths, out, options)


def recogniser(options: Namespace) -> Recogniser:
    """The recogniser that a command's options describe."""
    return Recogniser(
        options.model,
        options.detector,
        margin=options.margin,
        precision=options.precision,
        views=options.views,
        prior=_prior(options.prior),
        class_names=options.classes.split(",") if options.classes else None,
    )


def _pictures(paths: list[Path], out: Path | None, options: Namespace) -> int:
    chosen = _format(options.format, out)
    several = len(paths) > 1 or paths[0].is_dir()
    for path in paths:
        if not os.path.lexists(path):
            raise RecognitionError(f"{printable(path)}: no such file or folder")
    listed = (pictures.listed(path) if path.is_dir() else [path] for path in paths)
    files = list(dict.fromkeys(file for group in listed for file in group))
    targets = _targets(files, out, folder=chosen == "png" and several)
    built, done, tried = recogniser(options), 0, 0
    header = _csv([*recognition.COLUMNS, *built.class_names])
    begin, end = {"csv": (header, ""), "json": ("[", "\n]\n")}.get(chosen or "", ("", ""))
    with video.stops() as asked, _stream(None if chosen == "png" else out) as stream:
        stream.write(begin)
        for file, rgb, faces in _recognised(files, several, built):
            tried += 1
            if faces is not None:
                if chosen == "png":
                    _write_png(targets[file], rgb, faces)
                else:
                    stream.write(_text(chosen, file, faces, first=not done, files=files))
                    stream.flush()
                done += 1
            if asked:
                break
        stream.write(end)
    if asked:
        _say(f"interrupted after {tried} of {len(files)} pictures; what was done is kept")
        return 130
    return int(done < len(files))


def _targets(files: list[Path], out: Path | None, *, folder: bool) -> dict[Path, Path]:
    """Where the result of each file goes: the one place where names of outputs are made.

    `out` itself, or in the folder `out` a .png for each file: its stem, or its whole name where
    others have the same stem. Raises `RecognitionError` when two results would have one name, when
    a result would take the place of a picture that is read, or of a file that the user did not name
    and this program did not write.
    """
    if out is None:
        return {}
    if not folder:
        targets = dict.fromkeys(files, out)
    else:
        stems, names = Counter(file.stem for file in files), Counter(file.name for file in files)
        if twice := [file for file in files if names[file.name] > 1]:
            raise RecognitionError(
                f"{printable(' and '.join(map(str, twice[:2])))} would both be written to "
                f"{printable(twice[0].name)}.png; recognise them one by one"
            )
        targets = {
            file: out / f"{file.stem if stems[file.stem] == 1 else file.name}.png" for file in files
        }
    _check_writable(out, folder=folder)
    read = {_identity(file) for file in files} - {None}
    for target in targets.values():
        if _identity(target) in read:
            raise RecognitionError(
                f"{printable(target)}: the output would overwrite a picture that is read; give "
                "another --out"
            )
        if folder and os.path.lexists(target) and not _ours(target):
            raise RecognitionError(
                f"{printable(target)}: is there and not written by {PROGRAM}; give another --out"
            )
    return targets


def _ours(path: Path) -> bool:
    """Whether this program wrote a picture."""
    try:
        with Image.open(path) as image:
            return image.format == "PNG" and image.info.get("Software") == PROGRAM
    except (OSError, ValueError, SyntaxError):
        return False


def _recognised(files: list[Path], several: bool, built: Recogniser) -> Iterator[Recognised]:
    """(file, pixels, faces) of each picture. A bad one of several is a line and has None for faces,
    a single one raises."""
    for file in artifacts.progress(files, "pictures"):
        name = printable(file.name)
        try:
            rgb = pictures.read(file)
            faces = built.recognise(rgb)[0]
        except FAULTS as error:
            line = error if isinstance(error, ValueError) else f"{name}: {_reason(error)}"
            if not several:
                raise RecognitionError(str(line)) from error
            _say(line)
            yield file, np.empty((0, 0, 3), np.uint8), None
            continue
        if not faces and not several:
            raise RecognitionError(
                f"{name}: no face found; try another --detector, or --detector whole when the "
                "picture is a face"
            )
        if not faces:
            _say(f"{name}: no face found")
        yield file, rgb, faces


@contextmanager
def _stream(out: Path | None) -> Iterator[TextIO]:
    """Where text goes: a file that takes its name at the end, or standard output."""
    if out is None:
        yield sys.stdout
        return
    with (
        artifacts.replacing(out) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as stream,
    ):
        yield stream


def _text(
    chosen: str | None, file: Path, faces: list[Face], *, first: bool, files: list[Path]
) -> str:
    """What is written for one picture."""
    name = _escaped(file)
    rows = recognition.rows([name], [faces])
    if chosen == "json":
        item = json.dumps({"picture": name, "faces": rows}, indent=1, ensure_ascii=False)
        return f"{'' if first else ','}\n{item}"
    if chosen == "csv":
        return "".join(_csv(row.values()) for row in rows)
    width = max(len(printable(one.name)) for one in files)
    lines = []
    for face in faces:
        x, y, w, h = face.box
        place = f"{w}×{h} at {x},{y}".ljust(20 if len(files) > 1 else 0)
        best = np.argsort(-face.probabilities, kind="stable")[:3]
        shares = (f"{face.class_names[k]} {face.probabilities[k]:.0%}" for k in best)
        lines.append("  ".join([printable(file.name).ljust(width), place, *shares]) + "\n")
    return "".join(lines)


def _csv(values: Iterable) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(
        round(value, 4) if isinstance(value, float) else value for value in values
    )
    return buffer.getvalue()


def _write_png(target: Path, rgb: np.ndarray, faces: list[Face]) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", PROGRAM)
    marked = Image.fromarray(annotation.annotate(rgb, faces))
    try:
        with artifacts.replacing(target) as unfinished:
            marked.save(unfinished, "PNG", pnginfo=info)
    except OSError as error:
        raise RecognitionError(f"{printable(target)}: {_reason(error, 'written')}") from error


def _video(path: Path, out: Path | None, options: Namespace) -> int:
    outcome = video.recognise_video(path, recogniser(options), out=out, format=options.format)
    for remark in outcome.remarks:
        _say(f"{printable(path.name)}: {remark}")
    for file in filter(None, (outcome.video, outcome.table)):
        print(_escaped(file))
    return 130 if outcome.interrupted else 0


def _format(wanted: str | None, out: Path | None) -> str | None:
    """The format asked for, or that of the output's name; None: a table for people."""
    suffix = out.suffix.lower().lstrip(".") if out is not None else ""
    if out is None and wanted == "png":
        raise RecognitionError("png needs --out, a file for one picture, a folder for several")
    if wanted is not None and wanted not in FORMATS:
        raise RecognitionError(
            f"format {printable(repr(wanted))} is for videos; pictures take {', '.join(FORMATS)}"
        )
    if wanted is None and out is not None and suffix not in ("", *FORMATS):
        raise RecognitionError(
            f"{printable(out.name)}: what is wanted? Name it .csv, .json or .png, or give --format"
        )
    return wanted or (suffix or "png" if out is not None else None)


def _prior(text: str | None) -> Prior | None:
    """'fer2013', 'uniform', or shares: 'Angry=0.1,Disgust=0.05,...'."""
    if text is None or "=" not in text:
        return text
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    try:
        return {name.strip(): float(share) for name, share in pairs}
    except ValueError:
        raise RecognitionError(
            f"prior {printable(repr(text))}: give NAME=SHARE for each class, with commas between"
        ) from None


def _check_writable(out: Path, *, folder: bool) -> None:
    """Find out before the work whether its result can be kept."""
    if folder and out.suffix.lower() == ".png":
        raise RecognitionError(f"{printable(out)}: for several pictures, --out is a folder")
    if not folder and out.is_dir():
        raise RecognitionError(f"{printable(out)}: a folder; give the name of a file")
    try:
        place = out if folder else out.parent
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise RecognitionError(f"{printable(out)}: {_reason(error, 'written')}") from error


def _identity(path: Path) -> tuple[int, int] | None:
    """What is the same for all names of a file; None when there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _escaped(path: Path) -> str:
    """A name that any file can hold and no spreadsheet computes."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return f"./{text}" if text[0] in "=+-@" else text


def _reason(error: Exception, done: str = "recognised") -> str:
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot be {done} ({printable(said)})"


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: _say(message)
        yield


def _say(line: object) -> None:
    print(f"fercore: {line}", file=sys.stderr)
