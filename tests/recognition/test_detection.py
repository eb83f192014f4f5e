"""Detectors: what they find on a real picture, what they say when something is missing."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pooch
import pytest

from fercore import paths
from fercore.recognition import detection
from fercore.recognition.detection import DetectorError, detector

EYES = (200, 105), (248, 105)  # on the astronaut


@pytest.fixture(scope="module")
def astronaut():
    """scikit-image's astronaut, uint8 [512, 512, 3], one face (and a helmet)."""
    data = pytest.importorskip("skimage.data")
    return data.astronaut()


@pytest.fixture(scope="module")
def yunet():
    """YuNet's model, beside the checkout or fetched before; it is not committed."""
    places = (paths.ROOT.parent / "shared" / "models", paths.CACHE / "models")
    files = [place / detection.YUNET for place in places]
    found = [file for file in files if file.is_file()]
    if not found:
        pytest.skip("YuNet's model is not there; `fercore recognise` fetches it")
    return found[0]


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No model at hand and no network."""

    def retrieve(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.delenv(detection.VARIABLE, raising=False)
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(pooch, "retrieve", retrieve)


def holds(box, points=EYES):
    """Whether points lie in a box that is no more than a head large."""
    x, y, width, height = box
    return all(x < px < x + width and y < py < y + height for px, py in points) and width < 200


def test_haar_finds_the_astronaut_first(astronaut):
    boxes, scores = detector("haar").detect(astronaut)
    assert boxes.dtype == np.int32 and boxes.shape == (len(scores), 4)
    assert holds(boxes[0]) and (np.diff(scores) <= 0).all()


def test_system_d_takes_coarser_steps(astronaut):
    found = detector("haar", scale=1.3, neighbours=5, smallest=50)
    assert (found.scale, found.neighbours, found.smallest) == (1.3, 5, 50)
    assert holds(found.detect(astronaut)[0][0])


def test_boxes_of_a_reduced_search_are_those_of_the_whole_picture(astronaut):
    large = cv2.resize(astronaut, (2048, 2048))
    box = detector("haar").detect(large)[0][0]
    assert holds(box / 4) and box[2] > 250


@pytest.mark.parametrize("side", [200, 512, 4000])
def test_yunet_finds_small_and_large_faces(astronaut, yunet, side):
    boxes, scores = detector(yunet).detect(cv2.resize(astronaut, (side, side)))
    assert len(boxes) == len(scores) and holds(boxes[0] * 512 / side)


def test_a_face_in_a_panorama_is_found(astronaut, yunet):
    panorama = np.full((1000, 12_000, 3), 90, np.uint8)
    panorama[300:512, 9000:9200] = astronaut[:212, 120:320]
    (box,) = detector(yunet).detect(panorama)[0]
    assert holds(box - (9000 - 120, 300, 0, 0))


@pytest.mark.parametrize("angle", [-25, 0, 25])
def test_yunet_tells_how_a_face_is_tilted(astronaut, yunet, angle):
    turn = cv2.getRotationMatrix2D((225, 105), -angle, 1)  # positive: the right side falls
    straight = detector(yunet).find(astronaut)[2][0]
    tilt = detector(yunet).find(cv2.warpAffine(astronaut, turn, (512, 512)))[2][0]
    assert angle == 0 or np.sign(tilt - straight) == np.sign(angle)
    assert abs(tilt) < 30


@pytest.mark.parametrize("name", ["haar", "yunet"])
def test_nothing_is_found_where_nothing_is(name, request):
    found = detector(request.getfixturevalue("yunet") if name == "yunet" else name)
    for shape in ((1, 1, 3), (1, 5000, 3), (10, 3, 3), (200, 300, 3)):
        boxes, scores = found.detect(np.full(shape, 128, np.uint8))
        assert boxes.shape == (0, 4) and scores.shape == (0,)


def test_the_whole_picture_is_a_face():
    boxes, scores = detector("whole").detect(np.zeros((20, 30, 3), np.uint8))
    assert boxes.tolist() == [[0, 0, 30, 20]] and scores.tolist() == [1]


def test_a_cascade_of_ones_own_is_loaded_by_its_file(astronaut, tmp_path):
    own = tmp_path / "own.xml"
    source = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
    own.write_bytes(source.read_bytes())
    assert holds(detector(own).detect(astronaut)[0][0])
    own.write_text("no cascade")
    with pytest.raises(DetectorError, match=r"own.xml: no file of a cascade that OpenCV reads"):
        detector(own)
    with pytest.raises(DetectorError, match=r"none.xml: no such file"):
        detector(tmp_path / "none.xml")


def test_offline_haar_takes_over_and_a_line_says_what_to_do(offline):
    with pytest.warns(UserWarning, match=r"weaker Haar.*ConnectionError.*FERCORE_YUNET") as said:
        found = detector()
    assert isinstance(found, detection.Cascade) and "\n" not in str(said[0].message)
    with pytest.raises(DetectorError, match="YuNet's model cannot be fetched"):
        detector("yunet")


def test_yunet_is_the_default_where_its_model_is_there(offline, yunet, monkeypatch):
    monkeypatch.setenv(detection.VARIABLE, str(yunet))
    assert isinstance(detector(), detection.YuNet)
    monkeypatch.setenv(detection.VARIABLE, str(yunet.parent / "none.onnx"))
    with pytest.raises(DetectorError, match=r"none.onnx: cannot be read \(No such file"):
        detector()


def test_a_model_in_the_cache_is_taken_only_when_it_is_the_right_one(offline, yunet, monkeypatch):
    kept = paths.CACHE / "models" / detection.YUNET
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"another file")
    with pytest.raises(DetectorError, match="cannot be fetched"):
        detection.yunet_file()
    kept.write_bytes(yunet.read_bytes())
    assert detection.yunet_file() == kept
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == detection.SHA256


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(
        DetectorError, match=r"'mtcnn' is unknown; choose yunet, haar, whole, a cascade file"
    ):
        detector("mtcnn")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"nothing")
    with pytest.raises(DetectorError, match=r"damaged.onnx: no YuNet model"):
        detector(damaged)
