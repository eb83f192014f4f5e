"""The camera's window: when it ends, what it shows, and what is said when there is none."""

import cv2
import numpy as np
import pytest
from test_video import Brightness, frame

from fercore import cli
from fercore.recognition import command
from fercore.recognition.recogniser import RecognitionError


class Capture:
    """A camera of ten frames."""

    def __init__(self, device):
        self.device, self.left = device, 10

    def isOpened(self):
        return self.device == 0

    def read(self):
        self.left -= 1
        return (True, frame(self.left)[..., ::-1].copy()) if self.left >= 0 else (False, None)

    def release(self):
        self.left = 0


@pytest.fixture
def window(monkeypatch):
    """What was shown; `keys` are pressed one a frame; `visible` ends when it is set to 0."""
    state = type("Window", (), {"shown": [], "keys": [], "visible": 1.0, "open": True})()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "QT5")
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(cv2, "imshow", lambda name, picture: state.shown.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: state.keys.pop(0) if state.keys else -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda name, which: state.visible)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: setattr(state, "open", False))
    return state


def test_frames_are_mirrored_and_marked(window):
    command.show(Brightness())
    assert len(window.shown) == 10
    plain = frame(9)[:, ::-1, ::-1]
    changed = (np.abs(window.shown[0].astype(int) - plain) > 40).any(axis=2)
    assert changed[:145].sum() > 300, "no box, label and bars"
    assert changed.mean() < 0.5
    assert not window.open


@pytest.mark.parametrize("key", [ord("q"), ord("Q"), 27])
def test_q_and_escape_quit(window, key):
    window.keys = [-1, ord("x"), key]
    command.show(Brightness())
    assert len(window.shown) == 3
    assert not window.open


def test_the_cross_of_the_window_and_ctrl_c_quit(window, monkeypatch):
    window.visible = 0.0
    command.show(Brightness())
    assert len(window.shown) == 1

    def interrupt(wait):
        raise KeyboardInterrupt

    monkeypatch.setattr(cv2, "waitKey", interrupt)
    command.show(Brightness())
    assert len(window.shown) == 2


def test_no_camera_is_one_line(window):
    with pytest.raises(RecognitionError, match="no pictures from device 3; the first camera is 0"):
        command.show(Brightness(), 3)
    with pytest.raises(RecognitionError, match=r"no pictures from device none\.mp4"):
        command.show(Brightness(), "none.mp4")


def test_a_real_camera_that_is_not_there_talks_in_one_line_only(monkeypatch, capfd):
    monkeypatch.setattr(command, "check_windows", lambda: None)
    with pytest.raises(RecognitionError, match="no pictures from device 97"):
        command.show(Brightness(), "97")
    assert capfd.readouterr().err == ""


def test_a_window_that_fails_is_one_line(window, monkeypatch):
    def fail(name, picture):
        raise cv2.error("line one\nline two")

    monkeypatch.setattr(cv2, "imshow", fail)
    with pytest.raises(RecognitionError, match=r"the window failed \(line one\?line two\)"):
        command.show(Brightness())
    assert not window.open


def test_a_build_without_windows_and_a_machine_without_display_are_told(window, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(RecognitionError, match="no display"):
        command.show(Brightness())
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")
    with pytest.raises(RecognitionError, match="this build of OpenCV opens no windows; replace"):
        command.show(Brightness())


def test_the_command_says_what_is_wrong_before_a_model_is_loaded(window, monkeypatch, capsys):
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")
    assert cli.main(["camera", "--model", "no such model"]) == 2
    assert capsys.readouterr().err.startswith("fercore: this build of OpenCV opens no windows")
