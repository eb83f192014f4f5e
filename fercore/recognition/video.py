"""Video files recognised frame by frame, marked, with a table of time stamps. PyAV reads and writes
them: each frame at its own time, upright, with the sound of the original."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fercore import artifacts
from fercore.artifacts import printable
from fercore.data import pictures
from fercore.recognition import annotation
from fercore.recognition import recogniser as recognition
from fercore.recognition.command import stops
from fercore.recognition.recogniser import RecognitionError

try:
    import av
    from av.packet import Packet
except ImportError:
    raise RecognitionError('videos need PyAV: pip install "fercore[video]"') from None

COLUMNS = ("time", "frame", "track", *recognition.COLUMNS[2:])
TICKS = 60_000  # of a second in videos written: whole numbers for 24, 25, 30, 50, 60 and 300 frames
SOUND: dict[str, Any] = {"rate": 48_000, "layout": "stereo"}


class Source:
    """The frames of a video file in RGB, upright and with square pixels, and when each is shown:
    `rate` frames a second, a `length` in seconds as announced, 0.0 where it is not. `frames` and
    `seconds` were read, `damaged` packets left out; `heard`: packets of `sound`, to write."""

    def __init__(self, path: Path):
        self.path, self.frames, self.seconds, self.damaged = path, 0, 0.0, 0
        self.heard: list[Packet] = []
        self.end, self.torn = 0.0, True  # s: of the last packet; whether it ends too early
        name = printable(path.name)
        if not path.is_file():  # opening a FIFO would wait for ever
            raise RecognitionError(f"{name}: no such file")
        local = {"protocol_whitelist": "file"}  # nothing is fetched that a file or its name names
        with one_line(path, "no video that can be read"):
            self._file = av.open(f"file:{path}", metadata_errors="replace", options=local)
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in self._file.streams.video if not s.disposition & cover]
        if not streams or streams[0].codec_context is None:
            raise RecognitionError(f"{name}: no moving pictures in it that can be read")
        self._stream: Any = streams[0]
        self._stream.thread_type = "AUTO"
        self.sound: Any = next((s for s in self._file.streams.audio if s.codec_context), None)
        self.rate = float(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.begin = (self._file.start_time or 0) / av.time_base  # s: what players call 0
        self.length = (self._file.duration or 0) / av.time_base
        if self._file.format.name == "avi":  # cut off before its index, it is guessed from the size
            self.length = max(self.length, self._stream.frames / self.rate)

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        """Each frame, uint8 [h, w, 3], and its time stamp in seconds, which always rises."""
        last = -1.0
        with suppress(av.FFmpegError):  # it cannot be read any further
            for packet in self._file.demux():
                if packet.pts is not None and packet.time_base:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self.end = max(self.end, end - self.begin)
                if packet.stream is self.sound:
                    self.heard.append(packet)
                for frame in self.decoded(packet) if packet.stream is self._stream else ():
                    stamp = last if frame.time is None else frame.time - self.begin
                    last = stamp if stamp > last else self.seconds
                    yield last, self._pixels(frame)
                    self.frames, self.seconds = self.frames + 1, last + 1 / self.rate
            self.torn = self.end < 0.97 * self.length - 2 / self.rate  # in all of its streams

    def decoded(self, packet: Packet) -> list[Any]:
        """The frames in a packet of pictures or sound; none, counted, where it is damaged."""
        with suppress(av.FFmpegError):
            return packet.decode()
        self.damaged += 1
        return []

    def _pixels(self, frame: Any) -> np.ndarray:
        """A frame as players show it: oblong pixels made square, turned upright."""
        aspect = float(self._stream.sample_aspect_ratio or 1)
        width, height = round(frame.width * max(aspect, 1)), round(frame.height / min(aspect, 1))
        if width * height > pictures.MAX_PIXELS:
            name, size = printable(self.path.name), f"{width}×{height}"
            raise RecognitionError(f"{name}: frames of {size} pixels are too large")
        rgb = frame.to_ndarray(format="rgb24", width=width, height=height)
        return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


class VideoWriter:
    """An annotated video, H.264 and AAC; `unheard` packets have time stamps that fall back."""

    def __init__(self, file: Any, source: Source):
        self.written, self.unheard = 0, 0
        self._file, self._source, self._pts, self._heard = file, source, -1, -(2**62)
        self._video: Any = None
        self._sound: Any = None
        self._kind: tuple = ()  # of sound that the resampler takes

    def add(self, rgb: np.ndarray, seconds: float) -> None:
        """The frame, uint8 [h, w, 3], that is shown from `seconds` on."""
        if self._video is None:
            self._begin(*rgb.shape[1::-1])
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        self._pts = max(self._pts + 1, round(seconds * TICKS))
        frame.pts, frame.time_base = self._pts, Fraction(1, TICKS)
        self._write(self._video.encode(frame))
        self._listen()
        self.written += 1

    def finish(self) -> None:
        """Write what the encoders still hold."""
        self._listen()
        for stream in filter(None, (self._video, self._sound)):
            self._write(stream.encode(None))

    def _begin(self, width: int, height: int) -> None:
        rate = Fraction(self._source.rate).limit_denominator(1001)
        how = {"preset": "veryfast", "crf": "20"}
        video = self._video = self._file.add_stream("libx264", rate=rate, options=how)
        video.width, video.height = width + width % 2, height + height % 2  # in pairs
        video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, TICKS)
        video.codec_context.colorspace = 6  # BT.601, as converted; players guess by size
        if self._source.sound:
            self._sound = self._file.add_stream("aac", **SOUND)

    def _listen(self) -> None:
        """Encode the sound since the last frame, at its own time; a damaged packet is silence."""
        for packet in self._source.heard:
            for frame in self._source.decoded(packet):
                if frame.pts is not None:
                    frame.pts -= round(self._source.begin / frame.time_base)
                kind = frame.format.name, frame.layout.name, frame.sample_rate
                if kind != self._kind:  # the source may change midway
                    self._kind, self._resampler = kind, av.AudioResampler("fltp", **SOUND)
                for part in self._resampler.resample(frame):
                    if part.pts is not None and part.time_base:  # ticks of the source, or samples
                        part.pts = round(part.pts * part.time_base * SOUND["rate"])
                    part.time_base = Fraction(1, SOUND["rate"])
                    self._write(self._sound.encode(part))
        self._source.heard.clear()

    def _write(self, packets: list[Packet]) -> None:
        for packet in packets:
            if packet.stream is self._video and packet.time_base:  # the last frame's has no other
                packet.duration = round(1 / (self._source.rate * packet.time_base))
            elif packet.dts is not None:
                if packet.dts <= self._heard:
                    self.unheard += 1
                    continue
                self._heard = packet.dts
            self._file.mux(packet)


@dataclass(frozen=True)
class Outcome:
    """What `recognise_video` made, no `video` for format csv; `whole`: nothing was left out or cut
    off; `remarks` are for the user."""

    video: Path | None
    table: Path
    frames: int
    seconds: float
    tracks: int
    interrupted: bool
    whole: bool
    remarks: list[str]


def recognise_video(
    path: str | Path,
    recogniser: recognition.Recogniser,
    *,
    out: str | Path | None = None,
    format: str | None = None,
) -> Outcome:
    """Mark the faces of a video; write it, and beside it a table (.csv).

    `out`: a folder, or the file of the annotated video; None: NAME.recognised.mp4 beside the video.
    `format`: mp4, or csv for a table without a video; None: as `out` is named, else mp4. The table
    has rows by frame and face: `COLUMNS`, then smoothed probabilities. What was done is kept, but
    with a `RecognitionError` nothing is left behind.
    """
    if not isinstance(path, str | os.PathLike):
        raise RecognitionError(f"a video of type {type(path).__name__}: give the path of a file")
    path = Path(os.path.expanduser(path))
    target = _target(path, Path(os.path.expanduser(out or path.parent)), format)
    source, tracker = Source(path), annotation.Tracker(recogniser)
    table, marked = target.with_suffix(".csv"), target.suffix == ".mp4"
    with (
        one_line(target, "cannot be written; choose another place by --out"),
        artifacts.replacing(table) as rows,
        writing(target, source) if marked else nullcontext() as writer,
    ):
        known = ",".join(COLUMNS)
        if marked and table.exists() and not table.read_text(errors="replace").startswith(known):
            name = printable(table.name)
            raise RecognitionError(f"{name} is there already; choose another --out")
        interrupted = _work(source, tracker, writer, rows)
        remarks = _remarks(source, tracker, interrupted)
    if writer and writer.unheard > writer.written / 10:
        remarks.append("part of the sound is left out: its time stamps fall back")
    made = source.frames, source.seconds, tracker.begun, interrupted
    whole = not (source.torn or source.damaged)
    return Outcome(target if marked else None, table, *made, whole, remarks)


def _work(
    source: Source, tracker: annotation.Tracker, output: VideoWriter | None, table: Path
) -> bool:
    """Frame by frame into table and video; whether it was stopped."""
    name, total = printable(source.path.name), round(source.length * source.rate) or None
    with open(table, "w", newline="", encoding="utf-8") as file, suppress(KeyboardInterrupt):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *tracker.recogniser.class_names])
        with stops() as asked:
            for seconds, rgb in artifacts.progress(source, name, total):
                if asked:
                    return True
                seen = tracker.step(rgb, seconds)
                faces = [face for _, face in seen]
                if output:
                    output.add(annotation.annotate(rgb, faces), seconds)
                for (track, _), row in zip(seen, recognition.rows([name], [faces]), strict=True):
                    values = [seconds, source.frames, track, *list(row.values())[2:]]
                    writer.writerow(round(v, 4) if isinstance(v, float) else v for v in values)
        return False
    return True


def _remarks(source: Source, tracker: annotation.Tracker, interrupted: bool) -> list[str]:
    """What the user should know. Raises `RecognitionError` when nothing of the video is there."""
    if not source.frames:
        what = "interrupted at once" if interrupted else "not one frame in it that can be read"
        raise RecognitionError(f"{printable(source.path.name)}: {what}")
    remarks = [] if tracker.begun else ["no face was found"]
    if interrupted or source.torn:
        what, done = "interrupted" if interrupted else "breaks off", f"{source.seconds:.1f} s"
        whole = f" of {source.length:.1f} s" if source.length else ""
        remarks.append(f"{what} after {done}{whole}; what was done is kept")
    elif source.damaged:
        remarks.append(f"damaged packets left out: {source.damaged}")
    return remarks


def _target(path: Path, out: Path, format: str | None) -> Path:
    """The file of the video, or of the table when none is wanted."""
    if out.is_dir() or not out.suffix:
        out = out / f"{path.stem}.recognised.{format or 'mp4'}"
    kind = out.suffix.lower()[1:]
    if kind not in ("mp4", "csv") or format not in (None, kind):
        what = f"format {printable(format or out.suffix, 20)}, output {printable(out.name)}"
        raise RecognitionError(f"{what}: for videos choose mp4 or csv, or name a folder")
    if out.resolve() == path.resolve():
        raise RecognitionError(f"{printable(out.name)}: the output would overwrite the video")
    return out.with_suffix(f".{kind}")


@contextmanager
def writing(target: Path, source: Source) -> Iterator[VideoWriter]:
    """A video that becomes `target` at the end, once all its frames are found in it."""
    with artifacts.replacing(target) as path:
        with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "faststart"}) as file:
            writer = VideoWriter(file, source)
            yield writer
            writer.finish()
        with av.open(f"file:{path}") as written:
            there = sum(packet.size > 0 for packet in written.demux(written.streams.video[0]))
        if there < writer.written:
            raise RecognitionError(f"only {there} of {writer.written} frames could be written")


@contextmanager
def one_line(path: Path, what: str) -> Iterator[None]:
    """A failure of PyAV or of the file system as a `RecognitionError`: file, fault, cause."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        cause = printable(error.strerror or error).lower()
        raise RecognitionError(f"{printable(path.name)}: {what} ({cause})") from None
