"""Expressions over time: a video file marked, with a table of time stamps and a plot; a camera's
pictures in a window."""

import csv
import os
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL.PngImagePlugin import PngInfo

from fercore import artifacts
from fercore.artifacts import printable
from fercore.recognition import annotation
from fercore.recognition.film import Film, Source, VideoError
from fercore.recognition.recogniser import Recogniser
from fercore.recognition.tracking import SMOOTHING, Tracker

FORMATS = ("mp4", "csv")
PLACE = ("time", "frame", "track", "x", "y", "width", "height", "score")
COLUMNS = (*PLACE, "expression", "probability")
STOPS = ("SIGINT", "SIGTERM", "SIGHUP")
WINDOW = "fercore: q quits"
QUIT = (ord("q"), ord("Q"), 27)  # 27: Escape
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong is said once, in one line


class CameraError(ValueError):
    """A camera that is not there, or a window that cannot be opened."""


@dataclass(frozen=True)
class Outcome:
    """What `recognise_video` made: its files (`video` is None for format csv), and how much.

    `frames` and `seconds` of the video were done, `tracks` faces followed; `remarks` are for the
    user, one line each.
    """

    video: Path | None
    table: Path
    timeline: Path
    frames: int
    seconds: float
    tracks: int
    interrupted: bool
    remarks: tuple[str, ...]


def recognise_video(
    path: str | Path,
    recogniser: Recogniser,
    *,
    out: str | Path | None = None,
    format: str | None = None,
    smoothing: float = SMOOTHING,
) -> Outcome:
    """Mark the faces of a video; write it, a table (.csv) and a plot over time (.png) beside each
    other.

    `out`: a folder, or the file of the annotated video; None: NAME.recognised.mp4 beside the video.
    `format`: mp4, or csv for table and plot without a film; None: as `out` is named, else mp4. The
    table has a row a frame and face: `COLUMNS`, then the probability of each expression, smoothed
    over `smoothing` seconds. Ctrl-C, SIGTERM, or a video that breaks off keep what was done, and
    `Outcome.remarks` says so. Raises `VideoError`; then nothing is left behind.
    """
    if not isinstance(path, str | os.PathLike):
        raise VideoError(f"a video of type {type(path).__name__}: give the path of a file")
    path = Path(os.path.expanduser(path))
    target = _target(path, None if out is None else Path(os.path.expanduser(out)), format)
    source, tracker = Source(path), Tracker(recogniser, smoothing=smoothing)
    names = recogniser.class_names
    files = [target.with_suffix(suffix) for suffix in (".csv", ".png")]
    with _folder(target) as folder:
        _check_spared(files, target)
        table, plot, video = (
            folder / target.with_suffix(suffix).name for suffix in (".csv", ".png", ".mp4")
        )
        film = Film(video, source) if target.suffix == ".mp4" else None
        try:
            with open(table, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([*COLUMNS, *names])
                interrupted = _work(source, tracker, film, writer)
            remarks = [*_how_far(source, interrupted), "" if tracker.begun else "no face was found"]
            if film:
                film.close()
                files.append(target)
                if film.unheard > film.written / 10:
                    remarks.append("part of the sound is left out: its time stamps fall back")
        finally:
            source.close()
            if film:
                film.drop()
        image = annotation.timeline(table, names, seconds=source.seconds)
        information = PngInfo()
        information.add_text("Software", "fercore")
        image.save(plot, pnginfo=information)
        for final in files:
            os.replace(folder / final.name, final)
    return Outcome(
        video=target if film else None,
        table=files[0],
        timeline=files[1],
        frames=source.frames,
        seconds=source.seconds,
        tracks=tracker.begun,
        interrupted=interrupted,
        remarks=tuple(filter(None, remarks)),
    )


def _work(source: Source, tracker: Tracker, film: Film | None, writer: Any) -> bool:
    """Frame by frame into table and film, to the end or until it is stopped; whether it was."""
    total = round(source.length * source.rate) or None
    try:
        with (
            stops() as asked,
            artifacts.progress(total=total, description=printable(source.path.name)) as bar,
        ):
            for seconds, rgb in source:
                if asked:
                    return True
                seen = tracker.step(rgb, seconds)
                if film:
                    film.add(annotation.annotate(rgb, [face for _, face in seen]), seconds)
                for track, face in seen:
                    numbers = (face.score, face.probability, *face.probabilities.tolist())
                    score, probability, *shares = (round(float(number), 4) for number in numbers)
                    row = (round(seconds, 4), source.frames, track, *face.box, score)
                    writer.writerow([*row, face.expression, probability, *shares])
                bar.update()
    except KeyboardInterrupt:
        return True
    return False


@contextmanager
def stops() -> Iterator[list[int]]:
    """The signals that ask for the end, Ctrl-C among them: they wait until a frame is whole. A
    second one ends at once."""
    asked: list[int] = []

    def ask(number: int, _) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    numbers = [getattr(signal, name) for name in STOPS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    if threading.current_thread() is not threading.main_thread():
        before = {}
    ours = {k: v for k, v in before.items() if v not in (None, signal.SIG_IGN)}  # nohup ignores
    for number in ours:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def _how_far(source: Source, interrupted: bool) -> list[str]:
    """That not all of the video is there, and how much is. Raises `VideoError` when nothing is."""
    if not source.frames:
        what = "interrupted at once" if interrupted else "not one frame in it that can be read"
        raise VideoError(f"{printable(source.path.name)}: {what}")
    whole = f" of {source.length:.1f} s" if source.length else ""
    remarks = []
    if interrupted:
        remarks.append(f"interrupted after {source.seconds:.1f} s{whole}; what was done is kept")
    elif source.broken_off:
        remarks.append(f"breaks off after {source.seconds:.1f} s{whole}; what came before is kept")
    if source.damaged and not source.broken_off:
        remarks.append(f"{source.damaged} damaged packets were left out")
    return remarks


def _target(path: Path, out: Path | None, format: str | None) -> Path:
    """The file of the film, or of the table when none is wanted."""
    target = out if out is not None else path.parent
    named = "" if target.is_dir() else target.suffix.lower().lstrip(".")
    format = format or named or "mp4"
    if format not in FORMATS or named not in ("", format):
        raise VideoError(
            f"format {printable(format, 20)}, output {printable(target.name)}: for videos choose "
            f"{' or '.join(FORMATS)}, or name a folder"
        )
    own = f"{path.stem}.recognised.{format}"
    target = target.with_suffix(f".{format}") if named else target / own
    if target.resolve() == path.resolve():
        raise VideoError(
            f"{printable(target.name)}: the output would overwrite the video; choose another name"
        )
    return target


def _check_spared(files: Iterable[Path], target: Path) -> None:
    """No file is replaced that the user did not name and this program did not write."""
    marks = (",".join(COLUMNS).encode(), b"Software\0fercore")
    for file in files:
        if file != target and file.exists():
            with open(file, "rb") as there:
                head = there.read(200)
            if not any(mark in head for mark in marks):
                raise VideoError(f"{printable(file.name)} is there already; choose another --out")


@contextmanager
def _folder(target: Path) -> Iterator[Path]:
    """A folder for unfinished files, where the finished ones will lie."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fercore.") as folder:
            yield Path(folder)
    except OSError as error:
        raise VideoError(
            f"{printable(target.name)}: cannot be written ({printable(error.strerror or error)}); "
            "choose another place by --out"
        ) from None


def show(recogniser: Recogniser, device: str | int = 0) -> int:
    """Show what a camera sees, faces marked, until q, Escape, Ctrl-C or the window's own cross;
    frames shown.

    `device`: the number of a camera (0 is the first), or the file or address of a video. Raises
    `CameraError`.
    """
    check_windows()
    frames, tracker, count = _frames(device), Tracker(recogniser), 0
    times = deque([time.monotonic()], maxlen=30)
    try:
        for rgb in frames:
            count += 1
            times.append(time.monotonic())
            marked = annotation.annotate(rgb, [face for _, face in tracker.step(rgb, times[-1])])
            rate = (len(times) - 1) / max(times[-1] - times[0], 1e-3)
            text, place, size = f"{rate:.0f} frames/s", (8, len(rgb) - 10), max(0.4, len(rgb) / 900)
            for colour, line in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(marked, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, line)
            cv2.imshow(WINDOW, cv2.cvtColor(marked, cv2.COLOR_RGB2BGR))
            key, visible = cv2.waitKey(1) & 0xFF, cv2.WND_PROP_VISIBLE
            if key in QUIT or cv2.getWindowProperty(WINDOW, visible) < 1:
                break
    except KeyboardInterrupt:
        pass
    except cv2.error as error:
        raise CameraError(f"the window failed ({printable(error)})") from error
    finally:
        frames.close()
        with suppress(cv2.error):  # builds without windows
            cv2.destroyAllWindows()
    return count


def check_windows() -> None:
    """Raises `CameraError` when this OpenCV or this machine opens no windows."""
    if not cv2.currentUIFramework():
        raise CameraError(
            "this build of OpenCV opens no windows; replace its package by the one without "
            "'headless' in its name; the app in the browser needs no window"
        )
    displays = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not displays:
        raise CameraError(
            "no display to open a window on (DISPLAY is not set); run this where you see a desktop"
        )


def _frames(device: str | int) -> Generator[np.ndarray]:
    """Frames in RGB, mirrored as people know themselves from mirrors when they come from a
    camera."""
    number = int(device) if str(device).isdigit() else None
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it is said once, below
    capture = cv2.VideoCapture(device if number is None else number)
    cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        address = f"video {printable(repr(str(device)))} cannot be opened"
        what = address if number is None else f"there is no camera {number}"
        raise CameraError(f"{what}; --device takes a number from 0 on, a file or an address")
    try:
        while (read := capture.read())[0]:
            rgb = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
            yield rgb if number is None else np.ascontiguousarray(rgb[:, ::-1])
    finally:
        capture.release()
