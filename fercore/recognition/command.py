"""`fercore recognise`: expressions in pictures, folders or a video, printed or written to files."""

import csv
import json
import os
import sys
import warnings
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fercore import artifacts
from fercore.artifacts import printable
from fercore.data import pictures
from fercore.recognition import annotation, video
from fercore.recognition import recogniser as recognition
from fercore.recognition.inference import Prior
from fercore.recognition.recogniser import Face, Recogniser, RecognitionError

FORMATS = ("csv", "json", "png")


def run(options: Namespace) -> int:
    """Recognise `options.paths`. Exit status 0: all done; 1: some of several pictures could not be
    read; 130: interrupted, what was done is kept; 2, by a `ValueError`: nothing done."""
    paths = [Path(os.path.expanduser(path)) for path in options.paths]
    out = Path(os.path.expanduser(options.out)) if options.out else None
    films = [path for path in paths if video.is_video(path)]
    if films and len(paths) > 1:
        name = printable(films[0].name)
        raise RecognitionError(f"{name}: give a video by itself, {len(paths)} paths were given")
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: _say(message)
        if not films:
            return _pictures(paths, out, options)
        built = recogniser(options)
        outcome = video.recognise_video(films[0], built, out=out, format=options.format)
    for remark in outcome.remarks:
        _say(f"{printable(films[0].name)}: {remark}")
    for file in filter(None, (outcome.video, outcome.table)):
        print(_escaped(file))
    return 130 if outcome.interrupted else 0


def recogniser(options: Namespace) -> Recogniser:
    """The recogniser that a command's options describe."""
    known = {name: getattr(options, name) for name in ("margin", "precision", "views")}
    classes = options.classes.split(",") if options.classes else None
    prior = _prior(options.prior)
    return Recogniser(options.model, options.detector, **known, prior=prior, class_names=classes)


def _pictures(paths: list[Path], out: Path | None, options: Namespace) -> int:
    several, kind = len(paths) > 1 or paths[0].is_dir(), _format(options.format, out)
    listed = (pictures.listed(path) if path.is_dir() else [path] for path in paths)
    files = list(dict.fromkeys(file for group in listed for file in group))
    targets = _targets(files, out, folder=kind == "png" and several) if out else {}
    built, bad, tried = recogniser(options), 0, 0
    try:
        with video.stops() as asked, _writer(kind, out, targets, built.class_names) as write:
            for file in artifacts.progress(files, "pictures"):
                tried += 1
                try:
                    write(file, *_recognised(built, file, several))
                except RecognitionError as error:
                    if not several:
                        raise
                    _say(error)
                    bad += 1
                if asked:
                    break
    except OSError as error:  # of what is written; reading has its own
        fault = f"cannot be written ({printable(error.strerror or error)})"
        raise RecognitionError(f"{printable(out or 'output')}: {fault}") from error
    if asked:
        _say(f"interrupted after {tried} of {len(files)} pictures; what was done is kept")
        return 130
    return int(bad > 0)


def _recognised(built: Recogniser, file: Path, several: bool) -> tuple[np.ndarray, list[Face]]:
    """Pixels and faces of a picture. A single one must have a face."""
    name = printable(file.name)
    try:
        rgb = pictures.read(file)
        faces = built.recognise(rgb)[0]
    except ValueError as error:
        raise RecognitionError(str(error)) from error
    except (OSError, RuntimeError, MemoryError, cv2.error) as error:
        reason = printable(str(error) or type(error).__name__)
        raise RecognitionError(f"{name}: cannot be recognised ({reason})") from error
    if not faces and not several:
        hint = "try another --detector, or --detector whole when the picture is a face"
        raise RecognitionError(f"{name}: no face found; {hint}")
    if not faces:
        _say(f"{name}: no face found")
    return rgb, faces


@contextmanager
def _writer(
    kind: str | None, out: Path | None, targets: dict[Path, Path], class_names: Iterable[str]
) -> Iterator[Callable[[Path, np.ndarray, list[Face]], None]]:
    """What writes the faces of one picture. A file takes its name at the end."""
    with ExitStack() as stack:
        stream = sys.stdout
        if out is not None and kind != "png":
            unfinished = stack.enter_context(artifacts.replacing(out))
            stream = stack.enter_context(unfinished.open("w", encoding="utf-8", newline=""))
        table, comma = csv.writer(stream, lineterminator="\n"), ""
        if kind == "csv":
            table.writerow([*recognition.COLUMNS, *class_names])
        elif kind == "json":
            stream.write("[")

        def write(file: Path, rgb: np.ndarray, faces: list[Face]) -> None:
            nonlocal comma
            rows = recognition.rows([_escaped(file)], [faces])
            if kind == "png":
                with artifacts.replacing(targets[file]) as unfinished:
                    Image.fromarray(annotation.annotate(rgb, faces)).save(unfinished, "PNG")
            elif kind == "csv":
                for row in rows:
                    values = row.values()
                    table.writerow(round(v, 4) if isinstance(v, float) else v for v in values)
            elif kind == "json":
                item = {"picture": _escaped(file), "faces": rows}
                stream.write(f"{comma}\n{json.dumps(item, indent=1, ensure_ascii=False)}")
                comma = ","
            else:
                stream.writelines(_line(file, face) for face in faces)
            stream.flush()

        yield write
        if kind == "json":
            stream.write("\n]\n")


def _line(file: Path, face: Face) -> str:
    """A face for people: its place and the three most probable expressions."""
    x, y, width, height = face.box
    best = np.argsort(-face.probabilities, kind="stable")[:3]
    shares = (f"{face.class_names[k]} {face.probabilities[k]:.0%}" for k in best)
    return "  ".join([printable(file.name), f"{width}×{height} at {x},{y}", *shares]) + "\n"


def _targets(files: list[Path], out: Path, *, folder: bool) -> dict[Path, Path]:
    """Where the result of each file goes: `out` itself, or in the folder `out` a file named as that
    of a video is, by its stem, or by its whole name where others have the same stem. Raises
    `RecognitionError` when two would have one name, or one that of a picture that is read."""
    if folder and out.suffix.lower() == ".png":
        raise RecognitionError(f"{printable(out)}: for several pictures, --out is a folder")
    if out.is_dir() and not folder:
        raise RecognitionError(f"{printable(out)}: a folder; give the name of a file")
    targets = dict.fromkeys(files, out)
    if folder:
        stems = Counter(file.stem for file in files)
        names = [file.stem if stems[file.stem] == 1 else file.name for file in files]
        name, count = Counter(names).most_common(1)[0]
        if count > 1:
            fault = f"{count} pictures are called {printable(name)}; recognise them one by one"
            raise RecognitionError(fault)
        marked = [out / f"{name}.recognised.png" for name in names]
        targets = dict(zip(files, marked, strict=True))
    read = {file.resolve() for file in files}
    if lost := [target for target in targets.values() if target.resolve() in read]:
        fault = "the output would overwrite a picture that is read; give another --out"
        raise RecognitionError(f"{printable(lost[0])}: {fault}")
    return targets


def _format(wanted: str | None, out: Path | None) -> str | None:
    """The format asked for, or that of the output's name; None: lines for people."""
    kind = wanted or (out and (out.suffix.lower().lstrip(".") or "png"))
    if out is None and kind == "png":
        raise RecognitionError("png needs --out, a file for one picture, a folder for several")
    if kind not in (None, *FORMATS):
        formats = f"{', '.join(FORMATS)}; name --out so, or give --format"
        raise RecognitionError(f"{printable(repr(kind))}: pictures take the formats {formats}")
    return kind


def _prior(text: str | None) -> Prior | None:
    """'fer2013', 'uniform', or shares: 'Angry=0.1,Disgust=0.05,...'."""
    if text is None or "=" not in text:
        return text
    try:
        pairs = (part.split("=") for part in text.split(","))
        return {name.strip(): float(share) for name, share in pairs}
    except ValueError:
        fault = f"prior {printable(repr(text))}: give NAME=SHARE for each class, with commas"
        raise RecognitionError(fault) from None


def _escaped(path: Path) -> str:
    """A name that any file can hold and no spreadsheet computes."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return f"./{text}" if text[0] in "=+-@" else text


def _say(line: object) -> None:
    print(f"fercore: {line}", file=sys.stderr)
