"""Videos: faces followed and smoothed, what is written, what is kept when a video or the user
breaks off."""

import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fercore.data.faces import CLASS_NAMES
from fercore.recognition import detection, film, tracking, video
from fercore.recognition.film import VideoError

RATE, FRAMES, SIZE = 20, 40, (320, 240)
with_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")


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
    """A recogniser that calls the brighter half Happy, the darker one Sad, by its mean grey
    level."""

    class_names = CLASS_NAMES
    margin = 0.0

    def __init__(self):
        self.detector = Marks()

    def probabilities(self, crops):
        happy = np.clip(crops.mean(axis=(1, 2)) / 255, 0, 1)
        told = np.zeros((len(crops), 7), np.float32)
        told[:, CLASS_NAMES.index("Happy")] = happy
        told[:, CLASS_NAMES.index("Sad")] = 1 - happy
        return told


def frame(number, faces=2):
    """Squares with some texture: one goes right and grows bright, one stands still and is grey."""
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


def sound(path):
    """Codec of the sound of a file, empty when there is none."""
    call = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "a",
        "-show_entries",
        "stream=codec_name",
        "-of",
        "csv=p=0",
    ]
    return subprocess.run([*call, path], capture_output=True, text=True).stdout.strip()


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_faces_keep_their_tracks_and_few_frames_are_searched():
    recogniser = Brightness()
    tracker = tracking.Tracker(recogniser, smoothing=0)
    for number in range(FRAMES):
        seen = dict(tracker.step(frame(number), number / RATE))
        assert set(seen) == {1, 2}
        moving = max(seen.values(), key=lambda face: -face.box[1])
        assert abs(moving.box[0] - (20 + 3 * number)) <= 6, (
            f"frame {number}: the box is left behind"
        )
        assert moving.box[2] == pytest.approx(60, abs=2)
    assert recogniser.detector.searches == pytest.approx(FRAMES / tracking.EVERY, abs=2)


def test_smoothing_is_an_exponential_mean_over_time_whatever_the_frame_rate():
    ends = []
    for rate in (10, 100):
        track = tracking.Track(1, np.zeros(4), 1.0)
        track.renew(np.array([1.0, 0.0]), 0.0, 0.5)
        for k in range(1, rate + 1):
            track.renew(np.array([0.0, 1.0]), k / rate, 0.5)
        ends.append(track.probabilities[0])
    assert ends == pytest.approx([np.exp(-2)] * 2)


def test_a_face_that_is_gone_ends_and_one_seen_once_ends_at_the_next_search():
    tracker = tracking.Tracker(Brightness(), every=1)
    tracker.step(frame(0, faces=2), 0.0)
    empty = np.full_like(frame(0), 20)
    assert tracker.step(empty, 0.1) == []
    tracker = tracking.Tracker(Brightness(), every=1)
    for k in range(5):
        tracker.step(frame(0), k / RATE)
    misses = 0
    while tracker.step(empty, 1.0):
        misses += 1
    assert misses == tracking.PATIENCE


def test_a_cut_is_searched_at_once():
    tracker = tracking.Tracker(Brightness(), every=1000)
    tracker.step(frame(0, faces=1), 0.0)
    other = np.full_like(frame(0), 20)
    other[150:210, 200:260] = np.random.default_rng(1).integers(100, 250, (60, 60, 1))
    boxes = [face.box for _, face in tracker.step(other, 0.1)]
    assert boxes == [(200, 150, 60, 60)]


def test_overlap_of_boxes():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5]], float)
    shares = tracking.overlap(boxes[:1], boxes)
    assert shares[0] == pytest.approx([1, 1 / 3, 0])


def test_a_video_becomes_a_film_a_table_and_a_plot(clip, tmp_path):
    outcome = video.recognise_video(clip, Brightness(), out=tmp_path / "new", smoothing=0)
    assert names(tmp_path / "new") == [
        "two.recognised.csv",
        "two.recognised.mp4",
        "two.recognised.png",
    ]
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
    assert cv2.imread(str(outcome.timeline)).std() > 10


def test_the_place_of_the_output_is_beside_the_video_when_not_given(clip, tmp_path):
    shutil.copy(clip, tmp_path / "talk.avi")
    outcome = video.recognise_video(tmp_path / "talk.avi", Brightness())
    assert outcome.video == tmp_path / "talk.recognised.mp4"
    assert names(tmp_path) == [
        "talk.avi",
        "talk.recognised.csv",
        "talk.recognised.mp4",
        "talk.recognised.png",
    ]


def test_format_csv_writes_no_film(clip, tmp_path):
    outcome = video.recognise_video(clip, Brightness(), out=tmp_path / "t.csv")
    assert outcome.video is None and names(tmp_path) == ["t.csv", "t.png"]


@with_ffmpeg
def test_sound_is_kept(clip, tmp_path):
    talk = tmp_path / "talk.mkv"
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            clip,
            "-f",
            "lavfi",
            "-i",
            "sine=duration=1",
            "-c:v",
            "copy",
            "-c:a",
            "pcm_s16le",
            talk,
        ],
        check=True,
    )
    outcome = video.recognise_video(talk, Brightness(), out=tmp_path)
    assert sound(outcome.video) == "aac" and outcome.remarks == ()
    assert len(read(outcome.video)) == FRAMES, "shorter sound has cut the film"


def test_without_ffmpeg_it_says_so(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(film.shutil, "which", lambda name: None)
    outcome = video.recognise_video(clip, Brightness(), out=tmp_path)
    assert len(read(outcome.video)) == FRAMES
    assert len(outcome.remarks) == 1 and "ffmpeg is not installed" in outcome.remarks[0]


@with_ffmpeg
def test_frames_of_uneven_length_are_shown_as_long(tmp_path):
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), frame(10 * number)[..., ::-1])
    lengths = (0.1, 0.5, 0.1, 0.3)
    lines = [
        f"file '{tmp_path / f'{n}.png'}'\nduration {length}" for n, length in enumerate(lengths)
    ]
    (tmp_path / "list.txt").write_text("\n".join([*lines, f"file '{tmp_path / '3.png'}'"]))
    source = tmp_path / "uneven.mp4"
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "concat",
            "-safe",
            "0",
            "-i",
            tmp_path / "list.txt",
            "-fps_mode",
            "vfr",
            "-pix_fmt",
            "yuv420p",
            source,
        ],
        check=True,
    )
    outcome = video.recognise_video(source, Brightness(), out=tmp_path / "out")
    times = pd.read_csv(outcome.table).time.unique()
    assert times[:4] == pytest.approx([0, 0.1, 0.6, 0.7], abs=0.03)
    capture = cv2.VideoCapture(str(outcome.video))
    shown = capture.get(cv2.CAP_PROP_FRAME_COUNT) / capture.get(cv2.CAP_PROP_FPS)
    assert shown == pytest.approx(times[-1], abs=0.35)


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
    assert names(tmp_path) == ["two.recognised.csv", "two.recognised.mp4", "two.recognised.png"]


def test_a_video_that_breaks_off_keeps_the_frames_so_far(clip, tmp_path):
    broken = tmp_path / "broken.avi"
    broken.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    outcome = video.recognise_video(broken, Brightness(), out=tmp_path / "out")
    assert 10 < outcome.frames < 30 and len(read(outcome.video)) == outcome.frames
    assert "breaks off after" in outcome.remarks[0] and "of 2.0 s" in outcome.remarks[0]


def test_a_video_without_faces_says_so(tmp_path):
    empty = write(tmp_path / "empty.avi", [np.full((240, 320, 3), 20, np.uint8)] * 5)
    outcome = video.recognise_video(empty, Brightness(), out=tmp_path / "out")
    assert "no face was found" in outcome.remarks
    assert len(read(outcome.video)) == 5 and len(pd.read_csv(outcome.table)) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"no video at all" * 100, "no video that can be read"),
    ],
)
def test_what_is_no_video_is_one_line(tmp_path, capfd, content, message):
    path = tmp_path / "film.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=message):
        video.recognise_video(path, Brightness(), out=tmp_path / "out")
    assert capfd.readouterr().err == "", "somebody else talks as well"
    assert not (tmp_path / "out").exists()


def test_outputs_that_cannot_be_are_refused_before_any_work(clip, tmp_path):
    (tmp_path / "file").write_text("")
    for out, format, message in [
        (tmp_path / "file" / "x.mp4", "mp4", "cannot be written"),
        (tmp_path / "x.avi", "mp4", "choose mp4 or csv"),
        (tmp_path, "json", "choose mp4 or csv"),
        (tmp_path / "x.avi", None, "choose mp4 or csv"),
    ]:
        recogniser = Brightness()
        with pytest.raises(VideoError, match=message):
            video.recognise_video(clip, recogniser, out=out, format=format)
        assert recogniser.detector.searches == 0
    shutil.copy(clip, tmp_path / "same.mp4")
    with pytest.raises(VideoError, match="would overwrite the video"):
        video.recognise_video(tmp_path / "same.mp4", Brightness(), out=tmp_path / "same.mp4")
    assert names(tmp_path) == ["file", "same.mp4"]


def test_a_failure_in_the_middle_leaves_nothing_behind(clip, tmp_path):
    class Broken(Brightness):
        def probabilities(self, crops):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        video.recognise_video(clip, Broken(), out=tmp_path)
    assert names(tmp_path) == []


@with_ffmpeg
def test_what_ffmpeg_complains_of_is_told(clip, tmp_path, monkeypatch):
    fake = tmp_path / "bin" / "ffmpeg"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho no space left on device >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(VideoError, match="no space left on device"):
        video.recognise_video(clip, Brightness(), out=tmp_path / "out")
    assert names(tmp_path / "out") == []


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
