"""Video files frame by frame: read with time stamps, written with the sound of another."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

USUAL = 25.0  # frames/s where a file does not say
LONGEST_GAP = 60.0  # s between two frames; more is a damaged time stamp
QUALITY = {"libx264": ("-preset", "veryfast", "-crf", "20"), "mpeg4": ("-q:v", "3")}
EVEN = "pad=ceil(iw/2)*2:ceil(ih/2)*2"  # H.264 stores pairs of pixels

os.environ.setdefault(
    "OPENCV_FFMPEG_LOGLEVEL", "-8"
)  # what is wrong with a file is said once, by this module


class VideoError(ValueError):
    """A video that cannot be read, or an output that cannot be written."""


@contextmanager
def quiet() -> Iterator[None]:
    """Without OpenCV's own lines about files and cameras that it cannot open."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


@dataclass
class Source:
    """The frames of a video file, in RGB and upright, with the time in seconds at which each is
    shown."""

    path: str | Path
    rate: float = field(init=False)
    expected: int = field(init=False)  # frames that the file announces, 0 when it does not say
    frames: int = field(default=0, init=False)  # read so far
    seconds: float = field(default=0.0, init=False)  # until the end of the last one

    def __post_init__(self):
        self.path = Path(self.path)
        if not self.path.is_file():
            raise VideoError(f"{self.path}: no such file")
        if not self.path.stat().st_size:
            raise VideoError(f"{self.path.name}: the file is empty")
        with quiet():
            self._capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise VideoError(
                f"{self.path.name}: no video that can be read, or cut off before its index"
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0.1 <= rate <= 240 else USUAL
        self.expected = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        with ThreadPoolExecutor(1) as reader:
            following = reader.submit(self._capture.read)
            while (read := following.result())[0]:
                stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                following = reader.submit(self._capture.read)
                seconds = self._shown_at(stamp)
                yield seconds, cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
                self.frames, self.seconds = self.frames + 1, seconds + 1 / self.rate

    def _shown_at(self, stamp: float) -> float:
        """The time stamp of a frame, or the end of the one before where the stamp makes no
        sense."""
        later = self.frames and self.seconds - 0.9 / self.rate < stamp < self.seconds + LONGEST_GAP
        return stamp if later else self.seconds

    @property
    def broken_off(self) -> bool:
        """Whether clearly fewer frames came than the file announces; what it announces is an
        estimate."""
        return self.frames < 0.97 * self.expected - 2


class Film:
    """An annotated video that grows frame by frame: H.264 by ffmpeg where it is installed, else
    MPEG-4 by OpenCV.

    Frames are written by a thread, in the rhythm `rate` per second: one that is shown longer is
    written several times.
    """

    def __init__(self, path: Path, rate: float):
        self.path, self.rate, self.size, self.written = path, rate, None, 0
        self.program = shutil.which("ffmpeg")
        self._writer, self._pending = ThreadPoolExecutor(1), None

    def add(self, rgb: np.ndarray, seconds: float) -> None:
        """The frame that is shown from `seconds` on."""
        if self.size is None:
            self._open(rgb.shape[1::-1])
        if rgb.shape[1::-1] != self.size:
            rgb = cv2.resize(rgb, self.size, interpolation=cv2.INTER_AREA)
        self._wait()
        copies = max(0, round(seconds * self.rate) + 1 - self.written)
        self.written += copies
        self._pending: Future | None = self._writer.submit(self._write, rgb, copies)

    def close(self, *, sound_of: Path, seconds: float) -> str:
        """End the file and give it the sound of the source; what there is to tell of that."""
        self._wait()
        self._writer.shutdown()
        if not self.program:
            self._out.release()
            return "without sound: ffmpeg is not installed (with it, sound is kept and browsers play the video)"
        self._out.stdin.close()
        if self._out.wait():
            raise VideoError(f"{self.path.name}: ffmpeg failed: {self._complaint()}")
        return self._add_sound(sound_of, seconds)

    def drop(self) -> None:
        """End what still runs, finished or not."""
        if self.size is not None and self.program:
            self._out.kill()
        self._writer.shutdown(cancel_futures=True)
        if self.size is not None and self.program:
            with suppress(OSError):
                self._out.stdin.close()
            self._out.stderr.close()
            self._out.wait()

    def _open(self, size: tuple[int, int]) -> None:
        self.size = size
        if not self.program:
            self._out = cv2.VideoWriter(
                str(self.path), cv2.VideoWriter_fourcc(*"mp4v"), self.rate, size
            )
            if not self._out.isOpened():
                raise VideoError(
                    f"{self.path.name}: OpenCV cannot write {size[0]}×{size[1]} as MPEG-4; install ffmpeg"
                )
            return
        encoder = self._encoder()
        self._out = subprocess.Popen(
            [
                self.program,
                "-v",
                "error",
                "-y",
                "-f",
                "rawvideo",
                "-pix_fmt",
                "rgb24",
                "-s",
                f"{size[0]}x{size[1]}",
                "-r",
                f"{self.rate:.6f}",
                "-i",
                "-",
                "-vf",
                EVEN,
                "-c:v",
                encoder,
                *QUALITY[encoder],
                "-pix_fmt",
                "yuv420p",
                "-movflags",
                "+faststart",
                str(self.path),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # Ctrl-C is for this process: ffmpeg shall end its file properly
            start_new_session=True,
        )

    def _encoder(self) -> str:
        known = subprocess.run(
            [self.program, "-v", "error", "-encoders"], capture_output=True, text=True
        ).stdout
        return "libx264" if "libx264" in known else "mpeg4"

    def _write(self, rgb: np.ndarray, copies: int) -> None:
        for _ in range(copies):
            if self.program:
                self._out.stdin.write(rgb.tobytes())
            else:
                self._out.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def _wait(self) -> None:
        """Until the frame before is written; its failure is raised here."""
        try:
            if self._pending:
                self._pending.result()
        except OSError:
            self._out.wait()
            raise VideoError(f"{self.path.name}: ffmpeg failed: {self._complaint()}") from None

    def _complaint(self) -> str:
        return _last_line(self._out.stderr.read())

    def _add_sound(self, source: Path, seconds: float) -> str:
        """Put the sound of `source` beside the pictures; without any, or when that fails, the film
        stays as it is."""
        joined = self.path.with_name(f"sound.{self.path.name}")
        call = subprocess.run(
            [
                self.program,
                "-v",
                "error",
                "-y",
                "-i",
                str(self.path),
                "-i",
                str(source),
                "-map",
                "0:v",
                "-map",
                "1:a:0?",
                "-c:v",
                "copy",
                "-c:a",
                "aac",
                "-t",
                f"{seconds:.3f}",
                "-movflags",
                "+faststart",
                str(joined),
            ],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        if call.returncode:
            return f"without sound: ffmpeg failed: {_last_line(call.stderr)}"
        os.replace(joined, self.path)
        return ""


def _last_line(told: bytes) -> str:
    return (told.decode(errors="replace").strip() or "it does not say why").splitlines()[-1]
