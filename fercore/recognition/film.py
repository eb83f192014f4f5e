"""Video files frame by frame, by PyAV: read with time stamps, written with the sound of another."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from fercore.artifacts import printable
from fercore.data import pictures

if TYPE_CHECKING:
    from av.packet import Packet

USUAL = 25.0  # frames/s where a file does not say
TICKS = 60_000  # a second of the films written: whole numbers for 24, 25, 30, 50, 60 and 300 frames
QUALITY = {"libx264": {"preset": "veryfast", "crf": "20"}, "mpeg4": {"qscale": "3"}}
NAMES = re.compile(r".*\.(mp4|m4v|mov|avi|mkv|webm|mpe?g|wmv|m?ts|m2ts|3gp|ogv|flv)", re.IGNORECASE)
MARKS = re.compile(
    rb"\x00.{3}ftyp(?!avi[fs]|hei[cfsx]|m[is]f1|crx)"  # MP4 and its kin, but no pictures
    rb"|\x00.{3}(?:moov|wide|free|skip)|.{4}mdat|RIFF.{4}AVI |FLV\x01|OggS|\x00\x00\x01\xba"
    rb"|\x1a\x45\xdf\xa3|\x30\x26\xb2\x75"  # Matroska and WebM, Windows Media
    rb"|(?:G.{187}){3}|(?:.{4}G.{187}){3}",  # MPEG transport streams, packets of 188 or 192 bytes
    re.DOTALL,
)


class VideoError(ValueError):
    """A video that cannot be read, or an output that cannot be written."""


def is_video(path: str | Path) -> bool:
    """Whether a file is a film: by its first bytes, whatever its name is; else by its name."""
    head = b""
    with suppress(OSError):
        if Path(path).is_file():
            with open(path, "rb") as file:
                head = file.read(1000)
    return bool(MARKS.match(head) or NAMES.fullmatch(Path(path).name))


class Source:
    """The frames of a video file in RGB, upright and with square pixels, and when each is shown.

    `rate` in frames a second; `length` in seconds as the file announces it, 0.0 where it does not;
    `frames` and `seconds` were read so far; `damaged` packets were left out. What `listener` is set
    to gets the packets of `sound`. Raises `VideoError`.
    """

    def __init__(self, path: str | Path):
        self.path, self.frames, self.seconds, self.damaged = Path(path), 0, 0.0, 0
        self.listener: Callable[[Packet], None] | None = None
        self._end, self._torn, self._last = 0.0, False, -1.0
        name, av = printable(self.path.name), _av()
        with _one_line(self.path, "no video that can be read"):
            if not self.path.is_file():
                raise VideoError(f"{name}: no such file")
            if not self.path.stat().st_size:
                raise VideoError(f"{name}: the file is empty")
            # a name with a colon is no address, and nothing is fetched that a file names
            only_files = {"protocol_whitelist": "file"}
            self._file = av.open(f"file:{path}", metadata_errors="replace", options=only_files)
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in self._file.streams.video if not s.disposition & cover]
        if not streams or streams[0].codec_context is None:
            raise VideoError(f"{name}: no moving pictures in it that can be read")
        self._stream: Any = streams[0]
        self._stream.thread_type = "AUTO"
        self.sound: Any = next((s for s in self._file.streams.audio if s.codec_context), None)
        self.rate = float(self._stream.average_rate or self._stream.guessed_rate or USUAL)
        self.begin = (self._file.start_time or 0) / av.time_base  # s: what players call 0
        self.length = (self._file.duration or 0) / av.time_base
        if self._file.format.name == "avi":  # cut off before its index, it is guessed from the size
            self.length = max(self.length, self._stream.frames / self.rate)

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        for packet in self._packets():
            if packet.stream is self.sound and self.listener:
                self.listener(packet)
            if packet.stream is not self._stream:
                continue
            try:
                frames: list[Any] = packet.decode()
            except _av().FFmpegError:
                self.damaged += 1
                continue
            for frame in frames:
                self._last = self._shown_at(frame)
                yield self._last, self._pixels(frame)
                self.frames, self.seconds = self.frames + 1, self._last + 1 / self.rate

    @property
    def broken_off(self) -> bool:
        """Whether the file ends before it should: not one of its streams comes near to what it
        announces. One of them alone may be shorter."""
        return self._torn or self._end < 0.97 * self.length - 2 / self.rate

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _packets(self) -> Iterator["Packet"]:
        """Of all streams, to the end of the file or to where it cannot be read any further."""
        try:
            for packet in self._file.demux():
                if packet.pts is not None and packet.time_base:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self._end = max(self._end, end - self.begin)
                yield packet
        except _av().FFmpegError:
            self._torn = True

    def _shown_at(self, frame: Any) -> float:
        """The time stamp of a frame; where it is missing or does not rise, the end of the one
        before."""
        if frame.pts is None:
            return self.seconds
        stamp = float(frame.pts * frame.time_base) - self.begin
        return stamp if stamp > self._last else self.seconds

    def _pixels(self, frame: Any) -> np.ndarray:
        """A frame as players show it: oblong pixels made square, turned upright."""
        aspect = float(self._stream.sample_aspect_ratio or 1)
        width, height = round(frame.width * max(aspect, 1)), round(frame.height / min(aspect, 1))
        if width * height > pictures.MAX_PIXELS:
            size = f"{width}×{height}"
            raise VideoError(f"{printable(self.path.name)}: frames of {size} pixels are too large")
        with _one_line(self.path, "a frame that cannot be converted"):
            rgb = frame.to_ndarray(format="rgb24", width=width, height=height)
        return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


class Film:
    """An annotated video that grows frame by frame: H.264 and AAC in an MP4 file.

    Each frame is shown from its own time on. `path` is the file to write, `source` gives rate and
    sound; `written` frames were, `unheard` packets of sound were not, as their time stamps fall
    back. Raises `VideoError`.
    """

    def __init__(self, path: Path, source: Source):
        self.path, self.written, self.unheard = path, 0, 0
        self._source, self._pts = source, -1
        self._early: list[Packet] = []  # of the sound, from before the first frame
        source.listener = self._listen
        self._video: Any = None
        self._sound: Any = None
        self._resampler: Any = None
        self._heard = -(2**62)  # the last time stamp of the sound
        self._kind: tuple[str, str, int] | None = None  # of sound that the resampler takes
        with _one_line(path, "cannot be written"):
            faststart = {"movflags": "faststart"}
            self._file: Any = _av().open(f"file:{path}", "w", format="mp4", options=faststart)

    def add(self, rgb: np.ndarray, seconds: float) -> None:
        """The frame, uint8 [h, w, 3], that is shown from `seconds` on."""
        with _one_line(self.path, "cannot be written"):
            if self._video is None:
                self._begin(*rgb.shape[1::-1])
            size = self._video.width, self._video.height
            if rgb.shape[1::-1] != size:
                rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
            frame = _av().VideoFrame.from_ndarray(rgb, format="rgb24")
            self._pts = max(self._pts + 1, round(seconds * TICKS))
            frame.pts, frame.time_base = self._pts, Fraction(1, TICKS)
            self._write(self._video.encode(frame))
            self.written += 1

    def close(self) -> None:
        """End the file, then open it and count its frames."""
        with _one_line(self.path, "cannot be written"):
            for stream in filter(None, (self._video, self._sound)):
                self._write(stream.encode(None))
            self._file.close()
            with _av().open(f"file:{self.path}") as file:
                there = sum(packet.size > 0 for packet in file.demux(file.streams.video[0]))
        if there < self.written:
            raise VideoError(f"only {there} of {self.written} frames could be written")

    def drop(self) -> None:
        """Let go of the file, finished or not."""
        with suppress(_av().FFmpegError, OSError, ValueError):
            self._file.close()

    def _begin(self, width: int, height: int) -> None:
        """Add the streams; the first frame shows how large the pictures are."""
        encoder = "libx264" if "libx264" in _av().codecs_available else "mpeg4"
        rate = Fraction(self._source.rate).limit_denominator(1001)
        self._video = self._file.add_stream(encoder, rate=rate, options=QUALITY[encoder])
        self._video.width, self._video.height = width + width % 2, height + height % 2  # in pairs
        self._video.pix_fmt, self._video.codec_context.time_base = "yuv420p", Fraction(1, TICKS)
        self._video.codec_context.colorspace = 6  # BT.601, as converted; players guess by size
        if sound := self._source.sound:
            known = _av().codec.Codec("aac", "w").audio_rates
            layout = "mono" if sound.channels == 1 else "stereo"
            samples = sound.rate if sound.rate in known else 48_000
            self._sound = self._file.add_stream("aac", rate=samples, layout=layout)
        for packet in self._early:
            self._listen(packet)

    def _listen(self, packet: "Packet") -> None:
        """A packet of the source's sound, which keeps its time; a damaged one is silence."""
        if self._video is None:
            self._early.append(packet)
            return
        frames: list[Any] = []
        with suppress(_av().FFmpegError):
            frames = list(packet.decode())
        with _one_line(self.path, "cannot be written"):
            for frame in frames:
                if frame.pts is not None:
                    frame.pts -= round(self._source.begin / frame.time_base)
                for part in self._resampled(frame):
                    self._write(self._sound.encode(part))

    def _resampled(self, frame: Any) -> list[Any]:
        """Sound as the encoder was told it comes, also where the source changes midway."""
        coder = self._sound.codec_context
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if kind != self._kind:
            how = {"format": coder.format, "layout": coder.layout, "rate": coder.sample_rate}
            self._resampler, self._kind = _av().AudioResampler(**how), kind
        parts = self._resampler.resample(frame)
        for part in parts:  # some count in ticks of the source, some in samples
            if part.pts is not None:
                part.pts = round(part.pts * part.time_base * coder.sample_rate)
            part.time_base = Fraction(1, coder.sample_rate)
        return parts

    def _write(self, packets: list["Packet"]) -> None:
        for packet in packets:
            if packet.stream is self._video and packet.time_base:  # the last frame's has no other
                packet.duration = round(1 / (self._source.rate * packet.time_base))
            elif packet.dts is not None:
                if packet.dts <= self._heard:
                    self.unheard += 1
                    continue
                self._heard = packet.dts
            self._file.mux(packet)


@contextmanager
def _one_line(path: Path, what: str) -> Iterator[None]:
    """A failure of PyAV or of the file system as a `VideoError`: file, what is wrong, cause."""
    try:
        yield
    except (_av().FFmpegError, OSError) as error:
        cause = printable(error.strerror or error).lower()
        raise VideoError(f"{printable(path.name)}: {what} ({cause})") from None


def _av() -> Any:
    """PyAV, which only videos need."""
    try:
        import av
    except ImportError:
        raise VideoError('videos need PyAV: pip install "fercore[video]"') from None
    return av
