"""`fercore recognise`: expressions in pictures or a video; `fercore camera`: live, in a window."""

import csv
import json
import os
import re
import signal
import sys
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np
from PIL import Image

from fercore import artifacts
from fercore.artifacts import printable, say
from fercore.data import pictures
from fercore.recognition import annotation
from fercore.recognition import recogniser as recognition
from fercore.recognition.recogniser import Face, Recogniser, RecognitionError

FORMATS = ("csv", "json", "png")
STOPS = [getattr(signal, k) for k in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, k)]
WINDOW, QUIT = "fercore: q quits", b"qQ\x1b"  # the last one is Escape
NAMES = re.compile(r".*\.(mp4|m4v|mov|avi|mkv|webm|mpe?g|wmv|m?ts|m2ts|3gp|ogv|flv)", re.IGNORECASE)
MARKS = re.compile(
    rb"\x00.{3}ftyp(?!avi[fs]|hei[cfsx]|m[is]f1|crx)"  # MP4 and its kin, but no pictures
    rb"|\x00.{3}(?:moov|wide|free|skip)|.{4}mdat|RIFF.{4}AVI |FLV\x01|OggS|\x00\x00\x01\xba"
    rb"|\x1a\x45\xdf\xa3|\x30\x26\xb2\x75"  # Matroska and WebM, Windows Media
    rb"|(?:G.{187}){3}|(?:.{4}G.{187}){3}",  # MPEG transport streams, packets of 188 or 192 bytes
    re.DOTALL,
)
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong is said once, in one line


def run(options: Namespace) -> int:
    """Recognise `options.paths`. Exit status 0: all done; 1: some pictures or a part of the video
    could not be read; 2, by a `ValueError`: nothing done; 130: interrupted, with what was done."""
    paths = [Path(os.path.expanduser(path)) for path in options.paths]
    out = Path(os.path.expanduser(options.out)) if options.out else None
    videos = [path for path in paths if is_video(path)]
    if videos and len(paths) > 1:
        name = printable(videos[0].name)
        raise RecognitionError(f"{name}: give a video by itself, {len(paths)} paths were given")
    if not videos:
        return _pictures(paths, out, options)
    from fercore.recognition import video

    outcome = video.recognise_video(videos[0], recogniser(options), out=out, format=options.format)
    for remark in outcome.remarks:
        say(f"{printable(videos[0].name)}: {remark}")
    for file in filter(None, (outcome.video, outcome.table)):
        print(_escaped(file))
    return 130 if outcome.interrupted else 0 if outcome.whole else 1


def recogniser(options: Namespace) -> Recogniser:
    """The recogniser that a command's options describe."""
    known = {name: getattr(options, name) for name in ("margin", "precision", "views")}
    known["class_names"] = options.classes.split(",") if options.classes else None
    known["prior"] = options.prior
    if "=" in (options.prior or ""):  # Angry=0.1,Disgust=0.05,...
        try:
            pairs = (part.split("=") for part in options.prior.split(","))
            known["prior"] = {name.strip(): float(share) for name, share in pairs}
        except ValueError:
            shown = printable(repr(options.prior))
            raise RecognitionError(f"prior {shown}: give NAME=SHARE for each class") from None
    return Recogniser(options.model, options.detector, **known)


def _pictures(paths: list[Path], out: Path | None, options: Namespace) -> int:
    several, kind = len(paths) > 1 or paths[0].is_dir(), _format(options.format, out)
    listed = (pictures.listed(path) if path.is_dir() else [path] for path in paths)
    files = list(dict.fromkeys(file for group in listed for file in group))
    targets = _targets(files, out, png=kind == "png") if out else {}
    built, done, bad = recogniser(options), dict[Path, list[Face]](), 0
    names = built.class_names
    try:
        with stops() as asked, ExitStack() as stack:
            stream = sys.stdout
            if out and kind != "png":
                unfinished = stack.enter_context(artifacts.replacing(out))
                stream = stack.enter_context(unfinished.open("w", encoding="utf-8", newline=""))
            for file in artifacts.progress(files, "pictures"):
                try:
                    rgb, done[file] = _recognised(built, file, several)
                except ValueError as error:
                    if not several:
                        raise
                    say(error)
                    bad += 1
                else:
                    if kind == "png":
                        with artifacts.replacing(targets[file]) as unfinished:
                            marked = annotation.annotate(rgb, done[file])
                            Image.fromarray(marked).save(unfinished, "PNG")
                    elif kind is None:
                        _print(file, done[file])
                    elif kind == "csv":
                        _rows(stream, {file: done[file]}, names if len(done) == 1 else ())
                if asked:
                    break
            if kind == "json":
                shown = ((_escaped(file), faces) for file, faces in done.items())
                items = [{"picture": n, "faces": recognition.rows([n], [f])} for n, f in shown]
                stream.write(json.dumps(items, indent=1, ensure_ascii=False) + "\n")
            elif kind == "csv" and not done:
                _rows(stream, {}, names)
    except BrokenPipeError:
        raise
    except OSError as error:  # of what is written; reading has its own
        fault = f"cannot be written ({printable(error.strerror or error)})"
        raise RecognitionError(f"{printable(out or 'output')}: {fault}") from error
    if asked:
        say(f"interrupted after {len(done) + bad} of {len(files)} pictures; what was done is kept")
        return 130
    return 0 if not bad else 1 if done else 2


def _recognised(built: Recogniser, file: Path, several: bool) -> tuple[np.ndarray, list[Face]]:
    """Pixels and faces of a picture. A single one must have a face."""
    name = printable(file.name)
    try:
        rgb = pictures.read(file)
        faces = built.recognise(rgb)[0]
    except (OSError, RuntimeError, MemoryError, cv2.error) as error:
        reason = printable(str(error) or type(error).__name__)
        raise RecognitionError(f"{name}: cannot be recognised ({reason})") from error
    if not (faces or several):
        hint = "try another --detector, or --detector whole when the picture is a face"
        raise RecognitionError(f"{name}: no face found; {hint}")
    if not faces:
        say(f"{name}: no face found")
    return rgb, faces


def _print(file: Path, faces: list[Face]) -> None:
    """For people: the place of each face and its three most probable expressions."""
    for face in faces:
        x, y, width, height = face.box
        best = np.argsort(-face.probabilities, kind="stable")[:3]
        shares = [f"{face.class_names[k]} {face.probabilities[k]:.0%}" for k in best]
        print(printable(file.name), f"{width}×{height} at {x},{y}", *shares, sep="  ", flush=True)


def _rows(stream: TextIO, done: dict[Path, list[Face]], heading: Sequence[str] = ()) -> None:
    """Faces as rows of csv; the first call has the classes for its `heading`."""
    table = csv.writer(stream, lineterminator="\n")
    if heading:
        table.writerow([*recognition.COLUMNS, *heading])
    for row in recognition.rows(map(_escaped, done), done.values()):
        table.writerow(round(v, 4) if isinstance(v, float) else v for v in row.values())
    stream.flush()


def _targets(files: list[Path], out: Path, *, png: bool) -> dict[Path, Path]:
    """Where the result of each file goes: `out`, or in the folder `out` a file of the same stem or,
    where others have it, name. Raises `RecognitionError` for names that clash."""
    folder = png and (len(files) > 1 or not out.suffix or out.is_dir())
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
            raise RecognitionError(f"{count} pictures are called {printable(name)}; do each alone")
        targets = dict(zip(files, [out / f"{name}.recognised.png" for name in names], strict=True))
    read = {file.resolve() for file in files}
    if lost := [target for target in targets.values() if target.resolve() in read]:
        fault = "the output would overwrite a picture that is read; give another --out"
        raise RecognitionError(f"{printable(lost[0])}: {fault}")
    return targets


def _format(wanted: str | None, out: Path | None) -> str | None:
    """The format given, or that of the output's name; None: lines for people."""
    kind = wanted or (out and (out.suffix.lower().lstrip(".") or "png"))
    if out is None and kind == "png":
        raise RecognitionError("png needs --out, a file for one picture, a folder for several")
    if kind not in (None, *FORMATS):
        formats = f"{', '.join(FORMATS)}; name --out so, or give --format"
        raise RecognitionError(f"{printable(repr(kind))}: pictures take the formats {formats}")
    return kind


def _escaped(path: Path) -> str:
    """A name that any file can hold and no spreadsheet takes for a formula."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return f"./{text}" if text[0] in "=+-@" else text


def is_video(path: str | Path) -> bool:
    """Whether a file is a video: by its first bytes, whatever its name is; else by its name."""
    head = b""
    if os.path.isfile(path):  # opening a FIFO would wait
        with suppress(OSError), open(path, "rb") as file:
            head = file.read(1000)
    named = NAMES.fullmatch(Path(path).name) and not os.path.isdir(path)
    return bool(MARKS.match(head) or named)


@contextmanager
def stops() -> Iterator[list[int]]:
    """Signals that ask for the end wait until a frame is whole; a second one ends at once."""
    asked: list[int] = []

    def ask(number: int, _) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    main = threading.current_thread() is threading.main_thread()  # others get no signals
    with ExitStack() as stack:
        for number in STOPS if main else ():
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores
                stack.callback(signal.signal, number, signal.signal(number, ask))
        yield asked


def show(recogniser: Recogniser, device: str | int = 0) -> None:
    """Show faces marked in what a camera sees, mirrored, until q, Escape, Ctrl-C or the window is
    closed. `device`: number of a camera (0 is the first), or file or address of a video."""
    check_windows()
    number = int(device) if str(device).isdigit() else None
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it is said once, below
    capture = cv2.VideoCapture(device if number is None else number)
    if not capture.isOpened():
        fault = f"no pictures from device {printable(device)}"
        raise RecognitionError(f"{fault}; the first camera is 0")
    tracker = annotation.Tracker(recogniser)
    try:
        while (read := capture.read())[0]:
            rgb = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
            rgb = rgb if number is None else np.ascontiguousarray(rgb[:, ::-1])
            faces = [face for _, face in tracker.step(rgb, time.monotonic())]
            marked, visible = annotation.annotate(rgb, faces), cv2.WND_PROP_VISIBLE
            cv2.imshow(WINDOW, cv2.cvtColor(marked, cv2.COLOR_RGB2BGR))
            if cv2.waitKey(1) & 0xFF in QUIT or cv2.getWindowProperty(WINDOW, visible) < 1:
                break
    except KeyboardInterrupt:
        pass
    except cv2.error as error:
        raise RecognitionError(f"the window failed ({printable(error)})") from error
    finally:
        capture.release()
        with suppress(cv2.error):
            cv2.destroyAllWindows()


def check_windows() -> None:
    """Raises `RecognitionError` when this OpenCV or this machine opens no windows."""
    if not cv2.currentUIFramework():
        raise RecognitionError("this build of OpenCV opens no windows; replace the 'headless' one")
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not display:
        raise RecognitionError("no display to open a window on (DISPLAY is not set)")
