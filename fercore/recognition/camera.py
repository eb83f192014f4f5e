"""`python -m fercore camera`: expressions live, in a window."""

import os
import sys
import time
from collections.abc import Generator

import cv2
import numpy as np

from fercore.artifacts import printable
from fercore.recognition import annotation
from fercore.recognition.recogniser import Recogniser
from fercore.recognition.tracking import Tracker

WINDOW = "fercore: q quits"
QUIT = (ord("q"), ord("Q"), 27)  # 27: Escape
RENEWAL = 0.1  # share of the newest frame in the mean of frames per second
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong is said once, in one line


class CameraError(ValueError):
    """A camera that is not there, or a window that cannot be opened."""


def show(recogniser: Recogniser, device: str | int = 0) -> int:
    """Show what a camera sees, faces marked, until q, Escape, Ctrl-C or the window's own cross;
    frames shown.

    `device`: the number of a camera (0 is the first), or the file or address of a video. Raises
    `CameraError`.
    """
    check_windows()
    frames, tracker = _frames(device), Tracker(recogniser)
    count, rate, before = 0, 0.0, time.monotonic()
    try:
        for rgb in frames:
            now = time.monotonic()
            marked = annotation.annotate(rgb, [face for _, face in tracker.step(rgb, now)])
            newest = 1 / max(now - before, 1e-3)
            rate = (1 - RENEWAL) * rate + RENEWAL * newest if rate else newest
            count, before = count + 1, now
            _write_rate(marked, rate)
            cv2.imshow(WINDOW, cv2.cvtColor(marked, cv2.COLOR_RGB2BGR))
            key, closed = cv2.waitKey(1) & 0xFF, cv2.WND_PROP_VISIBLE
            if key in QUIT or cv2.getWindowProperty(WINDOW, closed) < 1:
                break
    except KeyboardInterrupt:
        pass
    except cv2.error as error:
        raise CameraError(f"the window failed ({printable(error.err or error)})") from error
    finally:
        frames.close()
        cv2.destroyAllWindows()
    return count


def check_windows() -> None:
    """Raises `CameraError` when this OpenCV or this machine opens no windows."""
    if not cv2.currentUIFramework():
        raise CameraError(
            "this build of OpenCV opens no windows; README, 'OpenCV and windows', says how to "
            "replace it; the app in the browser needs no window"
        )
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise CameraError(
            "no display to open a window on (DISPLAY is not set); run this where you see a desktop"
        )


def _frames(device: str | int) -> Generator[np.ndarray]:
    """Frames in RGB, mirrored as people know themselves from mirrors when they come from a
    camera."""
    number = int(device) if str(device).isdigit() else None
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it is said once, below
    try:
        capture = cv2.VideoCapture(device if number is None else number)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        address = f"video {printable(repr(str(device)))} cannot be opened"
        what = address if number is None else f"there is no camera {number}"
        raise CameraError(f"{what}; --device takes a number from 0 on, a file or an address")
    return _read(capture, mirrored=number is not None)


def _read(capture: cv2.VideoCapture, *, mirrored: bool) -> Generator[np.ndarray]:
    try:
        while (read := capture.read())[0]:
            rgb = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
            yield np.ascontiguousarray(rgb[:, ::-1]) if mirrored else rgb
    finally:
        capture.release()


def _write_rate(rgb: np.ndarray, rate: float) -> None:
    """Frames per second in the lower left corner."""
    place, size = (8, rgb.shape[0] - 10), max(0.4, rgb.shape[0] / 900)
    for colour, line in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        text, font = f"{rate:.0f} frames/s", cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(rgb, text, place, font, size, colour, line, cv2.LINE_AA)
