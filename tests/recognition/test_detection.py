"""Detectors: what they find on a real picture, what they say when something is missing."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fercore.data import pictures
from fercore.recognition import detection
from fercore.recognition.detection import DetectorError, detector

EYES = (200, 105), (248, 105)  # on the astronaut


@pytest.fixture(scope="module")
def astronaut():
    """scikit-image's astronaut, uint8 [512, 512, 3], one face (and a helmet)."""
    data = pytest.importorskip("skimage.data")
    return data.astronaut()


def holds(box, points=EYES):
    """Whether points lie in a box that is no more than a head large."""
    x, y, width, height = box
    return all(x < px < x + width and y < py < y + height for px, py in points) and width < 200


@pytest.mark.parametrize("name", ["haar", "lbp"])
def test_cascades_find_the_astronaut_first(astronaut, name):
    boxes, scores = detector(name).detect(astronaut)
    assert boxes.dtype == np.int32 and boxes.shape == (len(scores), 4)
    assert holds(boxes[0]) and (np.diff(scores) <= 0).all()


def test_dlib_finds_the_astronaut(astronaut):
    pytest.importorskip("dlib")
    assert holds(detector("dlib").detect(astronaut)[0][0])


def test_system_d_takes_coarser_steps(astronaut):
    found = detector("haar", **detection.SYSTEM_D)
    assert (found.scale, found.neighbours, found.smallest) == (1.3, 5, 50)
    assert holds(found.detect(astronaut)[0][0])


def test_boxes_of_a_reduced_search_are_those_of_the_whole_picture(astronaut):
    large = cv2.resize(astronaut, (2048, 2048))
    box = detector("haar").detect(large)[0][0]
    assert holds(box / 4) and box[2] > 250


def test_nothing_is_found_where_nothing_is():
    for shape in ((1, 1, 3), (10, 3, 3), (200, 300, 3)):
        boxes, scores = detector("haar").detect(np.full(shape, 128, np.uint8))
        assert boxes.shape == (0, 4) and scores.shape == (0,)


def test_the_whole_picture_is_a_face():
    boxes, scores = detector("whole").detect(np.zeros((20, 30, 3), np.uint8))
    assert boxes.tolist() == [[0, 0, 30, 20]] and scores.tolist() == [1]


def test_a_cascade_of_ones_own_is_loaded_by_its_file(astronaut, tmp_path):
    own = tmp_path / "own.xml"
    own.write_bytes((Path(cv2.data.haarcascades) / "haarcascade_frontalface_alt2.xml").read_bytes())
    assert holds(detector(own).detect(astronaut)[0][0])
    own.write_text("no cascade")
    with pytest.raises(DetectorError, match=r"own.xml: no cascade that OpenCV reads"):
        detector(own)
    with pytest.raises(DetectorError, match="no such cascade file"):
        detector(tmp_path / "none.xml")


def test_what_is_missing_is_told(monkeypatch, tmp_path):
    with pytest.raises(
        DetectorError,
        match=r"'mtcnn' is unknown; choose haar, lbp, dlib, yunet, whole or give a casc",
    ):
        detector("mtcnn")
    with pytest.raises(DetectorError, match="unexpected keyword argument 'speed'"):
        detector("haar", speed=3)
    with pytest.raises(DetectorError, match="scale must be above 1"):
        detector("haar", scale=1.0)
    with pytest.raises(DetectorError, match="yunet: model file 'None' is not there"):
        detector("yunet")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"nothing")
    with pytest.raises(DetectorError, match=r"damaged.onnx: no YuNet model"):
        detector(damaged)
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(DetectorError, match="dlib: not installed; pip install dlib-bin"):
        detector("dlib")


def test_gray_weights_are_those_of_itu_601():
    red, green, blue = (
        pictures.gray(np.full((1, 1, 3), 255 * np.eye(3)[k], np.uint8))[0, 0] for k in range(3)
    )
    assert (red, green, blue) == (76, 150, 29)
