"""Videos: faces followed and smoothed, what is written, what is kept when a video or the user
breaks off."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from fercore import cli, recognition
from fercore.data.faces import CLASS_NAMES
from fercore.recognition import annotation, command, detection, video
from fercore.recognition.recogniser import RecognitionError

RATE, FRAMES, SIZE = 20, 40, (320, 240)


class Marks:
    """A detector of what the frames below are made of: bright squares on dark ground."""

    searches = 0

    def detect(self, rgb):
        self.searches += 1
        count, _, stats, _ = cv2.connectedComponentsWithStats((rgb[..., 0] > 60).astype(np.uint8))
        boxes = np.array([row[:4] for row in stats[1:count] if row[4] > 200], np.int32).reshape(
            -1, 4
        )
        return boxes, np.ones(len(boxes), np.float32)


class Brightness:
    """A recogniser that calls the brighter half Happy, the darker one Sad, by its mean gray
    level."""

    class_names = CLASS_NAMES
    margin = 0.0

    def __init__(self):
        self.detector = Marks()

    def find(self, rgb):
        boxes, scores = self.detector.detect(rgb)
        return boxes, scores, np.zeros(len(boxes), np.float32)

    def probabilities(self, crops):
        happy = np.clip(crops.mean(axis=(1, 2)) / 255, 0, 1)
        told = np.zeros((len(crops), 7), np.float32)
        told[:, CLASS_NAMES.index("Happy")] = happy
        told[:, CLASS_NAMES.index("Sad")] = 1 - happy
        return told


def frame(number, faces=2):
    """Squares with some texture: one goes right and grows bright, one stands still and is gray."""
    rgb = np.full((SIZE[1], SIZE[0], 3), 20, np.uint8)
    texture = np.random.default_rng(0).integers(-20, 20, (60, 60, 1))
    x, bright = 20 + 3 * number, 120 + 2 * number
    rgb[40:100, x : x + 60] = bright + texture
    if faces > 1:
        rgb[150:210, 220:280] = 100 + texture
    return rgb


def write(path, frames, codec="MJPG", rate=RATE):
    size = frames[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, size)
    for rgb in frames:
        writer.write(np.ascontiguousarray(rgb[..., ::-1]))
    writer.release()
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write(tmp_path_factory.mktemp("clip") / "two.avi", [frame(k) for k in range(FRAMES)])


def read(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while (found := capture.read())[0]:
        frames.append(found[1][..., ::-1])
    return frames


def encode(
    path, stamps, *, sound=None, sound_from=0.0, rate=16_000, aspect=None, box=None, **options
):
    """A video by PyAV: a frame at each of `stamps` (s); `sound` seconds of a tone."""
    with av.open(str(path), "w", format=box, options=options) as file:
        video = file.add_stream("libx264", rate=25, options={"crf": "15"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.time_base = Fraction(1, 12_000)
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        tone = file.add_stream("aac", rate=rate, layout="mono") if sound else None
        for number, stamp in enumerate(stamps):
            image = av.VideoFrame.from_ndarray(frame(number % 60), format="rgb24")
            image.pts, image.time_base = round(12_000 * stamp), Fraction(1, 12_000)
            file.mux(video.encode(image))
        file.mux(video.encode(None))
        for start in range(0, round(rate * (sound or 0)), 1024):
            wave = np.sin(np.arange(start, start + 1024)[None] * 0.17).astype(np.float32)
            part = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            part.sample_rate, part.time_base = rate, Fraction(1, rate)
            part.pts = start + round(rate * sound_from)
            file.mux(tone.encode(part))
        if tone:
            file.mux(tone.encode(None))
    return path


def streams(path):
    """(codec, first time, last time) of each stream of a video."""
    with av.open(str(path)) as file:
        times = {stream.index: [] for stream in file.streams}
        for packet in file.demux():
            if packet.pts is not None:
                times[packet.stream.index].append(float(packet.pts * packet.time_base))
        codecs = {stream.index: stream.codec_context.name for stream in file.streams}
        return [(codecs[k], min(seen), max(seen)) for k, seen in sorted(times.items())]


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.parametrize("every", [1, None])
def test_faces_keep_their_tracks_and_a_slow_detector_searches_few_frames(every):
    recogniser = Brightness()
    tracker = annotation.Tracker(recogniser)
    tracker.every = step = every or tracker.every
    for number in range(FRAMES):
        seen = dict(tracker.step(frame(number), number / RATE))
        assert set(seen) == {1, 2}
        moving = max(seen.values(), key=lambda face: -face.box[1])
        assert abs(moving.box[0] - (20 + 3 * number)) <= 6 * step, f"frame {number}: left behind"
        assert moving.box[2] == pytest.approx(60, abs=2)
    assert recogniser.detector.searches == FRAMES / step


def test_a_fast_detector_searches_every_frame(monkeypatch):
    monkeypatch.setattr(annotation, "YuNet", Marks)
    tracker = annotation.Tracker(Brightness())
    for number in range(10):
        tracker.step(frame(number), number / RATE)
    assert tracker.recogniser.detector.searches == 10


def test_smoothing_is_an_exponential_mean_over_time_whatever_the_frame_rate():
    ends = []
    for rate in (10, 100):
        track = annotation.Track(1, np.zeros(5), 1.0, 0.0)
        track.renew(np.array([1.0, 0.0]), 0.0)
        for k in range(1, rate + 1):
            track.renew(np.array([0.0, 1.0]), k / rate)
        ends.append(track.probabilities[0])
    assert ends == pytest.approx([np.exp(-1 / annotation.SMOOTHING)] * 2)


def searching_every_frame():
    tracker = annotation.Tracker(Brightness())
    tracker.every = 1
    return tracker


def test_a_face_that_is_gone_ends_and_one_seen_once_ends_at_the_next_search():
    tracker = searching_every_frame()
    tracker.step(frame(0, faces=2), 0.0)
    empty = np.full_like(frame(0), 20)
    assert tracker.step(empty, 0.1) == []
    tracker = searching_every_frame()
    for k in range(5):
        tracker.step(frame(0), k / RATE)
    last, seconds = 4 / RATE, 4 / RATE
    while tracker.step(empty, seconds + 1 / RATE):
        seconds += 1 / RATE
    assert seconds - last == pytest.approx(annotation.PATIENCE, abs=1.5 / RATE)


def test_overlap_of_boxes():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5]], float)
    assert annotation.overlap(boxes[0], list(boxes)) == pytest.approx([1, 1 / 3, 0])


def test_a_video_becomes_a_film_and_a_table(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(annotation, "SLOW", 1)
    monkeypatch.setattr(annotation, "SMOOTHING", 1e-9)
    outcome = video.recognise_video(clip, Brightness(), out=tmp_path / "new")
    assert names(tmp_path / "new") == ["two.recognised.csv", "two.recognised.mp4"]
    assert (outcome.frames, outcome.tracks, outcome.interrupted) == (FRAMES, 2, False)
    assert outcome.seconds == pytest.approx(FRAMES / RATE)
    frames = read(outcome.video)
    assert len(frames) == FRAMES and frames[0].shape == (*SIZE[::-1], 3)
    changes = np.abs(frames[20].astype(int) - frame(20)).max(axis=2)
    assert (changes[38:102, 78:142] > 60).any() and np.median(changes[48:92, 90:130]) < 30, (
        "box around, face free"
    )
    table = pd.read_csv(outcome.table)
    assert list(table.columns) == [*video.COLUMNS, *CLASS_NAMES]
    assert len(table) == 2 * FRAMES
    assert table.time.unique() == pytest.approx(np.arange(FRAMES) / RATE, abs=1e-3)
    moving = table[table.y < 100]
    assert moving.Happy.iloc[-1] - moving.Happy.iloc[0] == pytest.approx(
        2 * (FRAMES - 1) / 255, abs=0.03
    )
    assert (table[list(CLASS_NAMES)].sum(axis=1) - 1).abs().max() < 1e-3


def test_the_place_of_the_output_is_beside_the_video_when_not_given(clip, tmp_path):
    shutil.copy(clip, tmp_path / "talk.avi")
    outcome = video.recognise_video(tmp_path / "talk.avi", Brightness())
    assert outcome.video == tmp_path / "talk.recognised.mp4"
    assert names(tmp_path) == ["talk.avi", "talk.recognised.csv", "talk.recognised.mp4"]


def test_format_csv_writes_no_film(clip, tmp_path):
    outcome = video.recognise_video(clip, Brightness(), out=tmp_path / "t.csv")
    assert outcome.video is None and names(tmp_path) == ["t.csv"]


@pytest.mark.parametrize("seconds", [1, 5])
def test_sound_is_kept(tmp_path, seconds):
    talk = encode(tmp_path / "talk.mkv", np.arange(FRAMES) / RATE, sound=seconds)
    outcome = video.recognise_video(talk, Brightness(), out=tmp_path)
    (_, _, pictures_end), (codec, begin, end) = streams(outcome.video)
    assert codec == "aac" and outcome.remarks == []
    assert begin == pytest.approx(0, abs=0.1) and end == pytest.approx(seconds, abs=0.15)
    assert pictures_end == pytest.approx((FRAMES - 1) / RATE), "sound has cut the video"
    assert len(read(outcome.video)) == FRAMES


def test_sound_that_changes_midway_is_kept(tmp_path):
    parts = []
    for number, rate in enumerate((16_000, 44_100)):
        path, stamps = tmp_path / f"{number}.ts", number + np.arange(20) / RATE
        encode(path, stamps, sound=1, sound_from=number, rate=rate, box="mpegts")
        parts.append(path.read_bytes())
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    outcome = video.recognise_video(tmp_path / "both.ts", Brightness(), out=tmp_path / "out")
    assert outcome.frames == 40
    codec, begin, end = streams(outcome.video)[1]
    assert codec == "aac" and end - begin == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_are_a_film_or_one_line(tmp_path, seed):
    rng, box = np.random.default_rng(seed), ("mp4", "matroska", "mpegts")[seed]
    whole = encode(tmp_path / "whole", np.arange(6) / RATE, sound=0.4, box=box).read_bytes()
    for size in (len(whole), 600):  # anywhere, and in the header
        content = bytearray(whole)
        for place in rng.integers(0, size, 20):
            content[place] = rng.integers(256)
        (tmp_path / "damaged").write_bytes(content)
        try:
            outcome = video.recognise_video(
                tmp_path / "damaged", Brightness(), out=tmp_path / "out.mp4"
            )
            assert len(read(outcome.video)) == outcome.frames
        except RecognitionError as error:
            assert "\n" not in str(error) and len(str(error)) < 250


@pytest.mark.parametrize(("pictures", "sound"), [(0.0, 1.5), (1.5, 0.0)])
@pytest.mark.parametrize("box", ["mp4", "matroska", "mpegts"])
def test_each_stream_keeps_its_start(tmp_path, pictures, sound, box):
    stamps = pictures + np.arange(20) / RATE
    late = encode(tmp_path / "late", stamps, sound=2, sound_from=sound, box=box)
    outcome = video.recognise_video(late, Brightness(), out=tmp_path)
    (_, shown, _), (_, heard, _) = streams(outcome.video)
    assert shown - heard == pytest.approx(pictures - sound, abs=0.2)
    times = pd.read_csv(outcome.table).time
    assert times.min() == pytest.approx(pictures, abs=0.1)


@pytest.mark.parametrize("gaps", [(0.1, 0.5, 0.1, 0.3), (1 / 300,) * 30, (0.04, 90.0, 0.04)])
def test_rising_time_stamps_are_trusted_at_any_rate(tmp_path, gaps):
    stamps = np.concatenate([[0], np.cumsum(gaps)])
    outcome = video.recognise_video(
        encode(tmp_path / "film.mp4", stamps), Brightness(), out=tmp_path / "out"
    )
    times = pd.read_csv(outcome.table).time.unique()
    assert times == pytest.approx(stamps, abs=1e-3) and outcome.remarks == []
    (_, first, last) = streams(outcome.video)[0]
    assert (first, last) == (0, pytest.approx(stamps[-1], abs=1e-3))


@pytest.mark.parametrize(
    ("aspect", "size"),
    [(Fraction(8, 5), (512, 240)), (Fraction(1, 2), (320, 480)), (None, SIZE)],
)
def test_oblong_pixels_are_made_square(tmp_path, aspect, size):
    path = encode(tmp_path / "tv.mp4", [0, 0.1], aspect=aspect)
    outcome = video.recognise_video(path, Brightness(), out=tmp_path / "out")
    assert read(outcome.video)[0].shape == (*size[::-1], 3)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_films_are_turned_upright(tmp_path, turns):
    upright = tmp_path / "upright.mp4"
    encode(upright, [0, 0.1])
    content = bytearray(upright.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # the matrix in a track's header: cosines and sines, 16.16
    one, minus = (65536).to_bytes(4, "big"), (2**32 - 65536).to_bytes(4, "big")
    none = bytes(4)
    cells = {
        1: (none, one, minus, none),
        2: (minus, none, none, minus),
        3: (none, minus, one, none),
    }
    for place, cell in zip((0, 4, 12, 16), cells[turns], strict=True):
        content[at + place : at + place + 4] = cell
    (tmp_path / "turned.mp4").write_bytes(content)
    shown = [rgb for _, rgb in video.Source(tmp_path / "turned.mp4")]
    plain = [rgb for _, rgb in video.Source(upright)]
    assert np.array_equal(shown[0], np.rot90(plain[0], -turns)), "a matrix turns clockwise"


@pytest.mark.parametrize(
    "name", ["12:30:15.mp4", "noending", "talk.jpg", "größer ☺", "a b%20d.txt"]
)
@pytest.mark.parametrize("box", ["mp4", "mpegts", "matroska", "avi", "flv"])
def test_films_are_known_by_their_content(tmp_path, monkeypatch, name, box):
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "film", [0, 0.04, 0.08], box=box)
    os.rename("film", name)
    assert command.is_video(name) and command.is_video(tmp_path / name)
    assert len(list(video.Source(Path(name)))) == 3


def test_what_is_no_film_is_not_taken_for_one(tmp_path):
    for suffix in (".jpg", ".png", ".gif", ".bmp", ".avif", ".webp", ".tiff"):
        path = tmp_path / f"picture{suffix}"
        av_picture(path)
        assert not command.is_video(path), suffix
    (tmp_path / "GGGG.txt").write_text("G" * 3 + "text" * 400)
    (tmp_path / "empty").write_bytes(b"")
    assert not command.is_video(tmp_path / "GGGG.txt") and not command.is_video(tmp_path / "empty")
    assert command.is_video(tmp_path / "missing.mp4") and not command.is_video(
        tmp_path / "missing.jpg"
    )
    (tmp_path / "folder.mp4").mkdir()
    assert not command.is_video(tmp_path / "folder.mp4")
    os.mkfifo(tmp_path / "pipe")
    assert not command.is_video(tmp_path / "pipe"), "it waits for the other end"


def av_picture(path):
    from PIL import Image

    Image.fromarray(frame(0)).save(path)


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as file:
        tone = file.add_stream("aac", rate=16_000, layout="mono")
        part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        part.sample_rate, part.pts = 16_000, 0
        file.mux(tone.encode(part))
        file.mux(tone.encode(None))
    with pytest.raises(RecognitionError, match="no moving pictures"):
        video.recognise_video(tmp_path / "song.m4a", Brightness())


def test_without_pyav_one_line_names_the_extra(clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "fercore.recognition.video")
    monkeypatch.delattr(recognition, "video")
    assert cli.main(["recognise", str(clip), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and 'pip install "fercore[video]"' in said
    assert names(tmp_path) == []


def test_odd_sizes_are_written(tmp_path):
    odd = write(tmp_path / "odd.avi", [frame(k)[:233, :317] for k in range(6)])
    outcome = video.recognise_video(odd, Brightness(), out=tmp_path / "out")
    assert len(read(outcome.video)) == 6


def test_ctrl_c_keeps_what_was_done(clip, tmp_path):
    class Interrupted(Brightness):
        calls = 0

        def probabilities(self, crops):
            self.calls += 1
            if self.calls == 21:
                raise KeyboardInterrupt
            return super().probabilities(crops)

    outcome = video.recognise_video(clip, Interrupted(), out=tmp_path)
    assert outcome.interrupted and outcome.frames == 20
    assert len(read(outcome.video)) == 20 and pd.read_csv(outcome.table).frame.max() == 19
    assert "interrupted after 1.0 s of 2.0 s; what was done is kept" in outcome.remarks[0]
    assert names(tmp_path) == ["two.recognised.csv", "two.recognised.mp4"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_wait_for_a_whole_frame_and_keep_what_was_done(clip, tmp_path, number):
    class Signalled(Brightness):
        calls = 0

        def probabilities(self, crops):
            self.calls += 1
            if self.calls == 10:
                signal.raise_signal(number)
            return super().probabilities(crops)

    before = signal.getsignal(number)
    outcome = video.recognise_video(clip, Signalled(), out=tmp_path)
    assert outcome.interrupted and outcome.frames == len(read(outcome.video)) == 10
    assert pd.read_csv(outcome.table).frame.max() == 9
    assert signal.getsignal(number) == before


def test_a_thread_can_do_it_as_well(clip, tmp_path):
    done = []
    work = threading.Thread(
        target=lambda: done.append(video.recognise_video(clip, Brightness(), out=tmp_path))
    )
    work.start()
    work.join()
    assert done and done[0].frames == FRAMES


def cut(path, target, share):
    target.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return target


@pytest.mark.parametrize("share", [0.4, 0.8])
@pytest.mark.parametrize("box", ["avi", "mp4", "matroska"])
def test_a_video_that_breaks_off_keeps_the_frames_so_far(clip, tmp_path, box, share):
    whole = clip
    if box != "avi":
        stamps = np.arange(100) / RATE
        whole = encode(tmp_path / "whole", stamps, sound=5, box=box, movflags="faststart")
    seconds = FRAMES / RATE if box == "avi" else 5.0
    outcome = video.recognise_video(
        cut(whole, tmp_path / "broken", share), Brightness(), out=tmp_path / "out"
    )
    assert 0.1 * seconds < outcome.seconds < (share + 0.2) * seconds
    assert len(read(outcome.video)) == outcome.frames
    assert len(outcome.remarks) == 1 and re.search(r" of (2.0|5.\d) s", outcome.remarks[0])
    assert f"breaks off after {outcome.seconds:.1f} s" in outcome.remarks[0] and not outcome.whole


@pytest.mark.parametrize("box", ["mp4", "matroska", "mpegts", "flv"])
@pytest.mark.parametrize("sound", [None, 1, 4])
def test_whole_videos_are_not_said_to_break_off(tmp_path, box, sound):
    path = encode(tmp_path / "whole", np.arange(40) / RATE, sound=sound, box=box)
    outcome = video.recognise_video(path, Brightness(), out=tmp_path, format="csv")
    assert outcome.frames == 40 and outcome.remarks == [] and outcome.whole


@pytest.mark.parametrize(("share", "status"), [(0.6, 1), (1, 0)])
def test_the_command_ends_with_status_1_when_a_part_is_missing(
    clip, tmp_path, monkeypatch, capsys, share, status
):
    monkeypatch.setattr(command, "recogniser", lambda options: Brightness())
    path, out = cut(clip, tmp_path / "talk.avi", share), tmp_path / "t.csv"
    assert cli.main(["recognise", str(path), "--out", str(out)]) == status
    assert out.is_file() and ("breaks off" in capsys.readouterr().err) is bool(status)


def test_damage_in_the_middle_is_counted_and_the_rest_kept(tmp_path):
    path = encode(tmp_path / "whole.mp4", np.arange(100) / RATE)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    outcome = video.recognise_video(path, Brightness(), out=tmp_path, format="csv")
    assert outcome.frames > 40 and outcome.seconds == pytest.approx(5, abs=0.3)


def test_a_video_without_faces_says_so(tmp_path):
    empty = write(tmp_path / "empty.avi", [np.full((240, 320, 3), 20, np.uint8)] * 5)
    outcome = video.recognise_video(empty, Brightness(), out=tmp_path / "out")
    assert "no face was found" in outcome.remarks
    assert len(read(outcome.video)) == 5 and len(pd.read_csv(outcome.table)) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "no video that can be read"),
        (b"no video at all" * 100, "no video that can be read"),
    ],
)
def test_what_is_no_video_is_one_line(tmp_path, capfd, content, message):
    path = tmp_path / "film.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecognitionError, match=message):
        video.recognise_video(path, Brightness(), out=tmp_path / "out")
    assert capfd.readouterr().err == "", "somebody else talks as well"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", [None, 3, b"film.mp4", "film\0.mp4", "", "~nobody-here/film.mp4"])
def test_what_is_no_path_is_one_line(given):
    with pytest.raises(ValueError) as raised:
        video.recognise_video(given, Brightness())
    assert "\n" not in str(raised.value)


def test_outputs_that_cannot_be_are_refused_before_any_work(clip, tmp_path):
    (tmp_path / "file").write_text("")
    for out, format, message in [
        (tmp_path / "file" / "x.mp4", "mp4", "cannot be written"),
        (tmp_path / "x.avi", "mp4", "choose mp4 or csv"),
        (tmp_path, "json", "choose mp4 or csv"),
        (tmp_path / "x.avi", None, "choose mp4 or csv"),
    ]:
        recogniser = Brightness()
        with pytest.raises(RecognitionError, match=message):
            video.recognise_video(clip, recogniser, out=out, format=format)
        assert recogniser.detector.searches == 0
    shutil.copy(clip, tmp_path / "same.mp4")
    with pytest.raises(RecognitionError, match="would overwrite the video"):
        video.recognise_video(tmp_path / "same.mp4", Brightness(), out=tmp_path / "same.mp4")
    assert names(tmp_path) == ["file", "same.mp4"]


def test_a_failure_in_the_middle_leaves_nothing_behind(clip, tmp_path):
    class Broken(Brightness):
        def probabilities(self, crops):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        video.recognise_video(clip, Broken(), out=tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [1, 3000, 20_000])
def test_a_film_that_cannot_be_written_whole_is_no_success(clip, tmp_path, size):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Limited(Brightness):
        def probabilities(self, crops):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
            return super().probabilities(crops)

    try:
        with pytest.raises(RecognitionError) as raised:
            video.recognise_video(clip, Limited(), out=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(raised.value) and "two.recognised" in str(raised.value)
    assert names(tmp_path) == []


def test_frames_that_are_missing_from_the_film_are_found(clip, tmp_path, monkeypatch):
    def forgetful(self, packets):
        for packet in packets[::2]:
            self._file.mux(packet)

    monkeypatch.setattr(video.VideoWriter, "_write", forgetful)
    with pytest.raises(RecognitionError, match=r"only \d+ of 40 frames could be written"):
        video.recognise_video(clip, Brightness(), out=tmp_path)
    assert names(tmp_path) == []


def test_files_of_the_users_own_are_spared_and_ones_of_this_program_renewed(clip, tmp_path):
    (tmp_path / "film.csv").write_text("my,own\n")
    with pytest.raises(RecognitionError, match=r"film\.csv is there already"):
        video.recognise_video(clip, Brightness(), out=tmp_path / "film.mp4")
    assert (tmp_path / "film.csv").read_text() == "my,own\n" and names(tmp_path) == ["film.csv"]
    (tmp_path / "film.csv").unlink()
    for _ in range(2):
        outcome = video.recognise_video(clip, Brightness(), out=tmp_path / "film.mp4")
    assert outcome.frames == FRAMES


def test_names_are_shown_short_and_without_signs_that_steer_a_terminal(tmp_path):
    path = tmp_path / ("\x1b[31m" + "long" * 50 + ".mp4")
    path.write_bytes(b"no film")
    with pytest.raises(RecognitionError) as raised:
        video.recognise_video(path, Brightness())
    assert str(raised.value).isprintable() and len(str(raised.value)) < 220


def test_nothing_is_written_to_home(clip, tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tests/recognition'); from test_video import Brightness; "
        f"from fercore.recognition import video; "
        f"video.recognise_video({str(clip)!r}, Brightness(), out={str(tmp_path / 'out')!r})"
    )
    home = tmp_path / "home"
    home.mkdir()
    left_out = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR")
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    root = Path(__file__).parents[2]
    environment |= {"HOME": str(home), "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, check=True)
    assert len(names(tmp_path / "out")) == 2 and list(home.rglob("*")) == []


def test_a_real_face_is_followed(tmp_path):
    data = pytest.importorskip("skimage.data")
    still = data.astronaut()[:256, 100:356]
    frames = [np.roll(still, (k, 2 * k), axis=(0, 1)) for k in range(15)]
    recogniser = Brightness()
    recogniser.detector = detection.detector("haar")
    outcome = video.recognise_video(
        write(tmp_path / "her.avi", frames), recogniser, out=tmp_path, format="csv"
    )
    table = pd.read_csv(outcome.table)
    first = table[table.track == 1]
    assert len(first) == 15
    assert first.x.iloc[-1] - first.x.iloc[0] == pytest.approx(28, abs=6)
    assert first.y.iloc[-1] - first.y.iloc[0] == pytest.approx(14, abs=6)
