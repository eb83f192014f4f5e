"""The recogniser in a browser: `build` makes a widget for JupyterLab, and a page by Voilà."""

import io
from contextlib import suppress
from pathlib import Path

import anywidget
import ipywidgets
import jinja2
import numpy as np
import traitlets
from PIL import Image

from fercore.artifacts import printable
from fercore.data import pictures
from fercore.plots import colours
from fercore.recognition import annotation
from fercore.recognition.recogniser import Recogniser

HERE = Path(__file__).parent
SHOWN = 1200  # pixels: the longest side of the picture that is sent back
LARGEST = 8_000_000  # bytes of a picture that is sent; the page makes larger ones smaller
PIXELS = 40_000_000  # of it, decoded: a few bytes can stand for a picture that fills the memory
TEMPLATE = jinja2.Environment(autoescape=True).from_string((HERE / "app.html").read_text())


class Entry(anywidget.AnyWidget):
    """Buttons for file and camera, and a line, `status`. `count` grows with each new `picture`."""

    _esm, _css = HERE / "app.js", HERE / "app.css"
    picture = traitlets.CBytes(b"").tag(sync=True)  # arrives as a memoryview
    name = traitlets.Unicode("").tag(sync=True)
    count = traitlets.Int(0).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)


def build(recogniser: Recogniser) -> ipywidgets.Widget:
    """The app: buttons, the marked picture, bars for each face."""
    entry, image, faces = Entry(), ipywidgets.Image(format="jpeg"), ipywidgets.HTML()
    image.layout.display = "none"

    def show(_) -> None:
        entry.status = ""  # the browser has said something else meanwhile
        try:
            rgb = read(entry.picture, entry.name)
            found = recogniser.recognise(rgb)[0]
        except (ValueError, OSError, RuntimeError, TypeError, MemoryError) as error:
            image.layout.display, faces.value = "none", ""
            entry.status = printable(error or type(error).__name__, 200)
            return
        marked, buffer = Image.fromarray(annotation.annotate(rgb, found)), io.BytesIO()
        marked.thumbnail((SHOWN, SHOWN))
        marked.save(buffer, "JPEG", quality=90)
        image.value, image.layout.display = buffer.getvalue(), None
        faces.value = TEMPLATE.render(faces=found, colours=colours, zip=zip)
        count = {0: "no face found", 1: "one face"}.get(len(found), f"{len(found)} faces")
        entry.status = f"{printable(entry.name)}: {count}"

    entry.observe(show, "count")
    page = ipywidgets.VBox([entry, image, faces])
    page.add_class("fercore-app")
    return page


def read(content: bytes, name: str) -> np.ndarray:
    """The picture in the bytes of a file, uint8 [h, w, 3]. Raises `PictureError`, which calls the
    file `name`, also where it is larger than `LARGEST` or `PIXELS`."""
    name, content, size = printable(Path(name).name or "picture"), bytes(content), 0
    with suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        size = int(np.prod(Image.open(io.BytesIO(content)).size))  # its pixels are not decoded
    if len(content) > LARGEST or size > PIXELS:
        limits = f"{LARGEST / 1e6:.0f} MB or {PIXELS / 1e6:.0f} million pixels"
        raise pictures.PictureError(f"{name}: over {limits}; make it smaller first")
    return pictures.read(content, name)
