"""Expressions over time: a video file marked, with a table of time stamps; a camera's pictures in a
window."""

import csv
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fercore import artifacts
from fercore.artifacts import printable
from fercore.recognition import annotation
from fercore.recognition import recogniser as recognition
from fercore.recognition.annotation import Tracker

if TYPE_CHECKING:
    from fercore.recognition.film import Film, Source

COLUMNS = ("time", "frame", "track", *recognition.COLUMNS[2:])
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


class VideoError(ValueError):
    """A video or camera that cannot be read, an output or window that cannot be had."""


@dataclass(frozen=True)
class Outcome:
    """What `recognise_video` made: its files (`video` is None for format csv); `frames` and
    `seconds` were done, `tracks` faces followed; `remarks` are for the user, one line each."""

    video: Path | None
    table: Path
    frames: int
    seconds: float
    tracks: int
    interrupted: bool
    remarks: list[str]


def is_video(path: str | Path) -> bool:
    """Whether a file is a film: by its first bytes, whatever its name is; else by its name."""
    head = b""
    with suppress(OSError):
        if Path(path).is_file():
            with open(path, "rb") as file:
                head = file.read(1000)
    return bool(MARKS.match(head) or NAMES.fullmatch(Path(path).name))


def recognise_video(
    path: str | Path,
    recogniser: recognition.Recogniser,
    *,
    out: str | Path | None = None,
    format: str | None = None,
) -> Outcome:
    """Mark the faces of a video; write it, and beside it a table (.csv).

    `out`: a folder, or the file of the annotated video; None: NAME.recognised.mp4 beside the video.
    `format`: mp4, or csv for a table without a film; None: as `out` is named, else mp4. The table
    has a row a frame and face: `COLUMNS`, then the smoothed probability of each expression. Ctrl-C,
    SIGTERM, or a video that breaks off keep what was done, and `Outcome.remarks` says so. Raises
    `VideoError`; then nothing is left behind.
    """
    try:
        from fercore.recognition.film import Source, one_line, writing
    except ImportError:
        raise VideoError('videos need PyAV: pip install "fercore[video]"') from None
    if not isinstance(path, str | os.PathLike):
        raise VideoError(f"a video of type {type(path).__name__}: give the path of a file")
    path = Path(os.path.expanduser(path))
    target = _target(path, path.parent if out is None else Path(os.path.expanduser(out)), format)
    source, tracker = Source(path), Tracker(recogniser)
    table, marked = target.with_suffix(".csv"), target.suffix == ".mp4"
    with (
        one_line(target, "cannot be written; choose another place by --out"),
        artifacts.replacing(table) as rows,
        writing(target, source) if marked else nullcontext() as film,
    ):
        known = ",".join(COLUMNS)
        if marked and table.exists() and not table.read_text(errors="replace").startswith(known):
            raise VideoError(f"{printable(table.name)} is there already; choose another --out")
        interrupted = _work(source, tracker, film, rows)
        remarks = _remarks(source, tracker, interrupted)
    if film and film.unheard > film.written / 10:
        remarks.append("part of the sound is left out: its time stamps fall back")
    counts = source.frames, source.seconds, tracker.begun
    return Outcome(target if marked else None, table, *counts, interrupted, remarks)


def _work(source: "Source", tracker: Tracker, film: "Film | None", table: Path) -> bool:
    """Frame by frame into table and film, to the end or until it is stopped; whether it was."""
    name, total = printable(source.path.name), round(source.length * source.rate) or None
    with open(table, "w", newline="", encoding="utf-8") as file, suppress(KeyboardInterrupt):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *tracker.recogniser.class_names])
        with stops() as asked:
            for seconds, rgb in artifacts.progress(source, name, total):
                if asked:
                    return True
                seen = tracker.step(rgb, seconds)
                if film:
                    film.add(annotation.annotate(rgb, [face for _, face in seen]), seconds)
                rows = recognition.rows([name], [[face for _, face in seen]])
                for (track, _), row in zip(seen, rows, strict=True):
                    values = [seconds, source.frames, track, *list(row.values())[2:]]
                    writer.writerow(round(v, 4) if isinstance(v, float) else v for v in values)
        return False
    return True


@contextmanager
def stops() -> Iterator[list[int]]:
    """The signals that ask for the end, Ctrl-C among them: they wait until a frame is whole. A
    second one ends at once."""
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


def _remarks(source: "Source", tracker: Tracker, interrupted: bool) -> list[str]:
    """What the user should know: that not all of the video is there, and how much is. Raises
    `VideoError` when nothing is."""
    if not source.frames:
        what = "interrupted at once" if interrupted else "not one frame in it that can be read"
        raise VideoError(f"{printable(source.path.name)}: {what}")
    remarks = [] if tracker.begun else ["no face was found"]
    if interrupted or source.broken_off:
        whole = f" of {source.length:.1f} s" if source.length else ""
        what = f"{'interrupted' if interrupted else 'breaks off'} after {source.seconds:.1f} s"
        remarks.append(f"{what}{whole}; what was done is kept")
    elif source.damaged:
        remarks.append(f"{source.damaged} damaged packets were left out")
    return remarks


def _target(path: Path, out: Path, format: str | None) -> Path:
    """The file of the film, or of the table when none is wanted."""
    if out.is_dir() or not out.suffix:
        out = out / f"{path.stem}.recognised.{format or 'mp4'}"
    kind = out.suffix.lower()[1:]
    if kind not in ("mp4", "csv") or format not in (None, kind):
        what = f"format {printable(format, 20)}, output {printable(out.name)}"
        raise VideoError(f"{what}: for videos choose mp4 or csv, or name a folder")
    if out.resolve() == path.resolve():
        raise VideoError(f"{printable(out.name)}: the output would overwrite the video")
    return out.with_suffix(f".{kind}")


def show(recogniser: recognition.Recogniser, device: str | int = 0) -> None:
    """Show what a camera sees, faces marked, until q, Escape, Ctrl-C or the window's own cross.

    `device`: the number of a camera (0 is the first), or the file or address of a video. A camera's
    pictures are mirrored, as people know themselves from mirrors. Raises `VideoError`.
    """
    check_windows()
    number = int(device) if str(device).isdigit() else None
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it is said once, below
    capture = cv2.VideoCapture(device if number is None else number)
    if not capture.isOpened():
        raise VideoError(f"no pictures from device {printable(device)}; the first camera is 0")
    tracker = Tracker(recogniser)
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
        raise VideoError(f"the window failed ({printable(error)})") from error
    finally:
        capture.release()
        with suppress(cv2.error):
            cv2.destroyAllWindows()


def check_windows() -> None:
    """Raises `VideoError` when this OpenCV or this machine opens no windows."""
    if not cv2.currentUIFramework():
        raise VideoError("this build of OpenCV opens no windows; replace it by one not 'headless'")
    displays = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not displays:
        raise VideoError("no display to open a window on (DISPLAY is not set); use a desktop")
