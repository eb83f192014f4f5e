"""The app: what it answers, and, where Chromium is installed, in a browser: a file, bad files, the
camera."""

import base64
import html
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_video import Brightness, frame

from fercore import paths
from fercore.data import pictures
from fercore.data.faces import CLASS_NAMES
from fercore.recognition import app
from fercore.recognition.recogniser import Recogniser


class Plain(Recogniser):
    """A recogniser without a network: see `test_video.Brightness`."""

    def __init__(self):
        made_up = Brightness()
        self.network, self.detector, self.margin = made_up, made_up.detector, 0.0
        self.class_names = made_up.class_names


def png(rgb):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def page():
    """The app around a made-up recogniser: (entry, image, faces)."""
    return app.build(Plain()).children


def send(entry, content, name):
    with entry.hold_trait_notifications():
        entry.picture, entry.name, entry.count = content, name, entry.count + 1


def test_a_picture_is_answered_with_boxes_and_bars(page):
    entry, image, faces = page
    send(entry, png(frame(30)), "two.png")
    assert entry.status == "two.png: 2 faces"
    marked = np.asarray(Image.open(io.BytesIO(image.value))).astype(int)
    assert (
        marked.shape == (240, 320, 3) and (np.abs(marked - frame(30)).max(axis=2) > 60).sum() > 500
    )
    assert image.layout.display is None
    widths = [float(text) for text in re.findall(r"width:([\d.]+)%", faces.value)]
    assert len(widths) == 14 and sum(widths) == pytest.approx(200, abs=1)
    assert "Face 2:" in faces.value and "Happy" in faces.value


def test_large_pictures_come_back_smaller(page):
    entry, image, _ = page
    send(entry, png(np.full((100, 2400, 3), 20, np.uint8)), "wide.png")
    assert entry.status == "wide.png: no face found"
    assert Image.open(io.BytesIO(image.value)).size == (app.SHOWN, 50)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bad.jpg: the file is empty"),
        (b"text", "bad.jpg: no picture, whatever its name says"),
        (png(frame(0))[:2000], "bad.jpg: damaged or cut off"),
    ],
)
def test_bad_files_are_one_line_and_the_next_picture_works(page, content, message):
    entry, image, faces = page
    send(entry, png(frame(0)), "good.png")
    send(entry, content, "bad.jpg")
    assert entry.status.startswith(message) and "\n" not in entry.status
    assert image.layout.display == "none" and faces.value == ""
    send(entry, png(frame(0)), "good.png")
    assert entry.status == "good.png: 2 faces" and image.layout.display is None


def test_names_are_no_paths_and_no_html(page):
    entry, _, faces = page
    send(entry, png(frame(0)), "../../<b>x</b>.png")
    assert entry.status.endswith("2 faces")
    assert "<b>" not in faces.value


def test_a_long_name_is_no_obstacle(page):
    entry, _, _ = page
    send(entry, png(frame(0)), f"{'顔' * 100}.png")
    assert entry.status.endswith("…: 2 faces") and len(entry.status) < 100
    send(entry, b"text", f"{'顔' * 100}.png")
    assert "…: no picture, whatever its name says" in entry.status


def test_bytes_and_decoded_pixels_are_limited(page, monkeypatch):
    entry, image, _ = page
    monkeypatch.setattr(app, "PIXELS", 320 * 240)
    send(entry, png(frame(0)), "good.png")
    assert entry.status == "good.png: 2 faces"
    monkeypatch.setattr(pictures, "read", None)  # what is too large is not decoded
    send(entry, png(np.zeros((240, 321, 3), np.uint8)), "large.png")
    assert entry.status.startswith("large.png: over 8 MB or 0 million pixels; make it smaller")
    monkeypatch.setattr(app, "LARGEST", 1000)
    send(entry, png(frame(0)), "long.png")
    assert (
        entry.status.startswith("long.png: over 0 MB or 0 million pixels")
        and image.layout.display == "none"
    )


def test_the_page_and_python_agree_on_the_largest_message():
    script = (Path(app.__file__).parent / "app.js").read_text()
    assert float(re.search(r"LARGEST = (\S+);", script)[1]) == app.LARGEST


@pytest.mark.parametrize("error", [OSError("disk"), RuntimeError("engine"), TypeError("kind")])
def test_any_failure_is_one_line_and_the_next_picture_works(page, monkeypatch, error):
    entry, image, faces = page

    def fail(self, crops):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Brightness, "probabilities", fail)
        send(entry, png(frame(0)), "bad.png")
    assert entry.status == str(error) and faces.value == ""
    send(entry, png(frame(0)), "good.png")
    assert entry.status == "good.png: 2 faces" and image.layout.display is None


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a\nb", '"><img src=x>'])
def test_class_names_from_outside_are_escaped(monkeypatch, name):
    monkeypatch.setattr(Brightness, "class_names", (name, *CLASS_NAMES[1:]))
    entry, _, faces = app.build(Plain()).children
    send(entry, png(frame(0)), "good.png")
    assert entry.status == "good.png: 2 faces"
    assert name in html.unescape(faces.value)
    assert "<script" not in faces.value and "<img" not in faces.value


def test_the_page_says_where_pictures_go():
    said = " ".join((Path(app.__file__).parent / "app.js").read_text().split())
    assert "to the machine that runs this page and no further" in said and "never written" in said


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The app's server, as README starts it, with the settings of voila.json: its port."""
    pytest.importorskip("voila")
    port, log = free_port(), tmp_path_factory.mktemp("server") / "voila.log"
    call = [sys.executable, "-m", "voila", "app/recognise.ipynb", "--no-browser", f"--port={port}"]
    with open(log, "wb") as file:
        running = subprocess.Popen(call, cwd=paths.ROOT, stdout=file, stderr=file)
    try:
        wait(lambda: socket.create_connection(("127.0.0.1", port), 5), 60).close()
        yield port
    finally:
        running.terminate()
        running.wait()


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("localhost", True), ("127.0.0.1:1", True), ("evil.example", False), ("10.0.0.1", False)],
)
def test_the_server_answers_to_names_of_this_machine_only(server, host, allowed):
    request = urllib.request.Request(
        f"http://127.0.0.1:{server}/voila/labextensions/none", headers={"Host": host}
    )
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=30)
    assert raised.value.code == (404 if allowed else 403)


def test_idle_kernels_are_culled_after_minutes():
    settings = json.loads((paths.ROOT / "voila.json").read_text())["MappingKernelManager"]
    assert 60 <= settings["cull_idle_timeout"] <= 900
    assert settings["cull_interval"] <= settings["cull_idle_timeout"]


def test_the_notebook_only_builds_the_app():
    cells = json.loads((paths.ROOT / "app" / "recognise.ipynb").read_text())["cells"]
    code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert all(not cell.get("outputs") for cell in cells)
    assert "app.build(Recogniser(" in code and len(code.splitlines()) < 10


class Browser:
    """Chromium without a window, by the WebDriver split; its camera is a file of Motion JPEG."""

    def __init__(self, camera, port):
        self.driver = subprocess.Popen(
            [shutil.which("chromedriver"), f"--port={port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.base = f"http://127.0.0.1:{port}"
        wait(lambda: self.call("GET", "/status")["ready"], 30)
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--window-size=1000,1100",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={camera}",
        ]
        wanted = {
            "capabilities": {
                "alwaysMatch": {
                    "goog:chromeOptions": {
                        "args": arguments,
                        "binary": shutil.which("chromium") or shutil.which("google-chrome"),
                    }
                }
            }
        }
        self.base += f"/session/{self.call('POST', '/session', wanted)['sessionId']}"

    def call(self, method, path, content=None):
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(
            self.base + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def run(self, script):
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def upload(self, path):
        element = self.call(
            "POST", "/element", {"using": "css selector", "value": "input[type=file]"}
        )
        self.call("POST", f"/element/{next(iter(element.values()))}/value", {"text": str(path)})

    def status(self):
        return self.run("return document.querySelector('.fercore-status')?.textContent")

    def screenshot(self, path):
        Path(path).write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()


def wait(condition, seconds, pause=0.3):
    """Until `condition()` is true; a connection refused counts as not yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := condition():
                return value
        except OSError:
            pass
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def her():
    return pytest.importorskip("skimage.data").astronaut()


@pytest.fixture(scope="module")
def browser(tmp_path_factory, her, server):
    """A browser that shows the app, as README starts it, with the model that the repository
    brings."""
    if not shutil.which("chromedriver"):
        pytest.skip("Chromium and its driver are not installed")
    folder = tmp_path_factory.mktemp("browser")
    buffer = io.BytesIO()
    Image.fromarray(her[:480, 16:496]).resize((640, 640)).crop((0, 0, 640, 480)).save(
        buffer, "JPEG"
    )
    (folder / "camera.mjpeg").write_bytes(buffer.getvalue() * 5)
    shown = Browser(folder / "camera.mjpeg", free_port())
    try:
        shown.call("POST", "/url", {"url": f"http://127.0.0.1:{server}/"})
        wait(lambda: shown.status() is not None, 120)
        yield shown
    finally:
        shown.close()


def test_in_a_browser_a_file_shows_boxes_and_bars(browser, her, tmp_path):
    Image.fromarray(her).save(tmp_path / "her.png")
    browser.upload(tmp_path / "her.png")
    wait(lambda: browser.status() == "her.png: one face", 60)
    width, height = browser.run(
        "const i = document.querySelector('.fercore-app img'); "
        "return [i.naturalWidth, i.naturalHeight]"
    )
    assert (width, height) == (512, 512)
    assert browser.run("return document.querySelectorAll('.fercore-faces tr').length") == 7
    widths = browser.run(
        "return [...document.querySelectorAll('.bar div')].map(d => parseFloat(d.style.width))"
    )
    assert (
        sum(widths) == pytest.approx(100, abs=0.5)
        and max(widths) == widths[CLASS_NAMES.index("Happy")]
    )
    if folder := os.environ.get("FERCORE_SCREENSHOTS"):
        browser.screenshot(Path(folder) / "app.png")


def test_in_a_browser_a_bad_file_is_one_line(browser, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    browser.upload(tmp_path / "text.jpg")
    wait(lambda: browser.status().startswith("text.jpg: no picture, whatever its name says"), 30)
    assert browser.run("return document.querySelectorAll('.fercore-faces tr').length") == 0


def test_in_a_browser_large_pictures_are_made_smaller_before_they_are_sent(browser, her, tmp_path):
    large = np.random.default_rng(0).integers(0, 60, (4000, 4000, 3), np.uint8)
    large[500:3500, 500:3500] = np.asarray(Image.fromarray(her).resize((3000, 3000)))
    Image.fromarray(large).save(tmp_path / "large.png", compress_level=0)
    assert (tmp_path / "large.png").stat().st_size > 40e6
    browser.upload(tmp_path / "large.png")
    wait(lambda: browser.status().startswith("large.png: ") and "face" in browser.status(), 60)


def test_in_a_browser_the_camera_picture_is_taken(browser):
    browser.run("document.querySelector('[data-does=camera]').click()")
    wait(lambda: browser.run("return document.querySelector('video').videoWidth"), 30)
    browser.run("document.querySelector('[data-does=take]').click()")
    wait(lambda: browser.status() == "camera picture: one face", 60)
    assert browser.run("return document.querySelector('video').hidden"), "the camera is still on"
    if folder := os.environ.get("FERCORE_SCREENSHOTS"):
        browser.screenshot(Path(folder) / "camera.png")
