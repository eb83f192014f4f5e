"""The recogniser in a browser: a widget for JupyterLab, and for Voilà as a page of its own.

from fercore.recognition import app
app.build()
"""

import html
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import traitlets
from PIL import Image

from fercore.artifacts import printable
from fercore.data import pictures
from fercore.plots.palette import colours
from fercore.recognition import annotation
from fercore.recognition.recogniser import Face, Recogniser

HERE = Path(__file__).parent
SHOWN = 1200  # pixels: the longest side of the picture that is sent back
LARGEST = 8_000_000  # bytes of a picture that is sent; the page makes larger ones smaller
PIXELS = 40_000_000  # of it, decoded: a few bytes can stand for a picture that fills the memory
LIMITS = (
    "An expression in a picture is not a feeling: labels of the training data are words that "
    "people agreed on in about two cases of three. Your picture goes from your browser to the "
    "machine that runs this page and no further: it is held in memory, never written to a file."
)


class Entry(anywidget.AnyWidget):
    """Buttons for a file and for the camera: `picture` holds the bytes of a picture file, `count`
    grows with each.

    `status` is a line below the buttons.
    """

    _esm = HERE / "app.js"
    picture = traitlets.CBytes(b"").tag(sync=True)  # arrives as a memoryview
    name = traitlets.Unicode("").tag(sync=True)
    count = traitlets.Int(0).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)


def build(recogniser: Recogniser | None = None) -> ipywidgets.Widget:
    """The app: buttons, the marked picture, bars for each face. None: the study's own model and
    detector."""
    recogniser = recogniser or Recogniser()
    entry, image, faces = Entry(), ipywidgets.Image(format="jpeg"), ipywidgets.HTML()
    image.layout.display = "none"

    def show(_) -> None:
        try:
            rgb = read(entry.picture, entry.name)
            found = recogniser.recognise(rgb)[0]
        except (ValueError, OSError, RuntimeError, TypeError, MemoryError) as error:
            image.layout.display, faces.value = "none", ""
            _say(entry, printable(error or type(error).__name__, 200))
            return
        image.value, image.layout.display = _jpeg(annotation.annotate(rgb, found)), None
        faces.value = bars(found)
        _say(entry, f"{printable(entry.name)}: {_count(len(found))}")

    entry.observe(show, "count")
    style = ipywidgets.HTML(f"<style>{(HERE / 'app.css').read_text()}</style>")
    page = ipywidgets.VBox(
        [style, entry, image, faces, ipywidgets.HTML(f"<p><small>{LIMITS}</small></p>")]
    )
    page.add_class("fercore-app")
    return page


def read(content: bytes, name: str) -> np.ndarray:
    """The picture in the bytes of a file, uint8 [h, w, 3]. Raises `PictureError`, which calls the
    file `name`, also where it is larger than `LARGEST` or `PIXELS`."""
    name, content = printable(Path(name).name or "picture"), bytes(content)
    if len(content) > LARGEST:
        most = f"at most {LARGEST / 1e6:.0f} MB are read"
        raise pictures.PictureError(f"{name}: {len(content) / 1e6:.0f} MB, {most}")
    size = 0
    with suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        size = int(np.prod(Image.open(io.BytesIO(content)).size))  # its pixels are not decoded
    if size > PIXELS:
        most = f"at most {PIXELS / 1e6:.0f} are read here; make it smaller first"
        raise pictures.PictureError(f"{name}: {size / 1e6:.0f} million pixels, {most}")
    return pictures.read(content, name)


def bars(faces: Sequence[Face]) -> str:
    """Probabilities as a table of bars for each face, HTML."""
    tables = "".join(_table(number, face) for number, face in enumerate(faces, start=1))
    return f'<div class="fercore-faces">{tables}</div>'


def _table(number: int, face: Face) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        f'<td class="bar"><div style="width:{100 * share:.1f}%;background:{colour}"></div></td>'
        f'<td class="share">{share:.0%}</td></tr>'
        for name, share, colour in zip(
            face.class_names, face.probabilities, colours(face.class_names), strict=True
        )
    )
    heading = f"Face {number}: {html.escape(face.expression)} {face.probability:.0%}"
    return f"<table><caption>{heading}</caption>{rows}</table>"


def _say(entry: Entry, text: str) -> None:
    """Set the status, also when it is the one before: the browser has said something else
    meanwhile."""
    entry.status = ""
    entry.status = text


def _count(faces: int) -> str:
    return {0: "no face found", 1: "one face"}.get(faces, f"{faces} faces")


def _jpeg(rgb: np.ndarray) -> bytes:
    image, buffer = Image.fromarray(rgb), io.BytesIO()
    image.thumbnail((SHOWN, SHOWN))
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
