"""Pictures of every kind become RGB bytes; bad ones one line."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from fercore.data import pictures
from fercore.data.pictures import PictureError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (30, 40, 3), np.uint8)


def saved(path, array=RGB, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_a_png_is_read_exactly(tmp_path):
    assert np.array_equal(pictures.read(saved(tmp_path / "a.png")), RGB)
    assert np.array_equal(pictures.read(str(tmp_path / "a.png")), RGB)


def test_the_bytes_of_a_file_are_read_as_the_file_is(tmp_path):
    content = saved(tmp_path / "a.png").read_bytes()
    assert np.array_equal(pictures.read(memoryview(content), "a.png"), RGB)
    for bad, message in (
        (b"", "a.png: the file is empty"),
        (b"text", "a.png: no picture"),
        (content[:-40], "a.png: damaged or cut off"),
    ):
        with pytest.raises(PictureError, match=message):
            pictures.read(bad, "a.png")


def test_a_gray_picture_has_three_equal_channels(tmp_path):
    read = pictures.read(saved(tmp_path / "a.png", RGB[..., 0]))
    assert read.shape == RGB.shape and all(
        np.array_equal(read[..., k], RGB[..., 0]) for k in range(3)
    )


@pytest.mark.parametrize(
    "orientation, turned",
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (6, lambda a: np.rot90(a, -1)),
        (8, np.rot90),
    ],
)
def test_pictures_stand_as_their_exif_data_say(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", exif=exif)
    assert np.array_equal(pictures.read(path), turned(RGB))
    given = Image.open(path)
    assert np.array_equal(pictures.read(given), turned(RGB))
    assert np.array_equal(np.asarray(given), RGB)  # a user's own picture stays as it is


def test_of_an_animation_the_first_picture_is_read_and_a_line_says_so(tmp_path, caplog):
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    first.save(tmp_path / "a.tif")
    assert np.array_equal(pictures.read(tmp_path / "a.tif"), RGB) and not caplog.messages
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert np.array_equal(pictures.read(tmp_path / "a.tif"), RGB)
    assert caplog.messages == ["a.tif: an animation or several pages, of which the first is read"]


def test_other_modes_are_read(tmp_path):
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.tif")
    assert np.abs(pictures.read(tmp_path / "a.tif").astype(int) - RGB).max() <= 1
    Image.fromarray(RGB).quantize(16).save(tmp_path / "a.gif")
    assert pictures.read(tmp_path / "a.gif").shape == RGB.shape
    deep = RGB[..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(pictures.read(tmp_path / "deep.png")[..., 0], RGB[..., 0])
    Image.fromarray(RGB[..., 0].astype(np.float32) / 255).save(tmp_path / "float.tif")
    assert np.array_equal(pictures.read(tmp_path / "float.tif")[..., 0], RGB[..., 0])


def test_values_of_every_type_mean_the_same():
    for array in (
        RGB.astype(np.uint16) * 257,
        RGB.astype(np.int64),
        RGB.astype(np.float32),
        RGB / 255,
    ):
        assert np.array_equal(pictures.as_rgb(array), RGB)
    assert np.array_equal(pictures.as_rgb(RGB[..., :1]), pictures.as_rgb(RGB[..., 0]))
    assert pictures.as_rgb(RGB > 127).max() == 255
    assert pictures.as_rgb(np.zeros((2, 2))).max() == 0


def test_alpha_is_laid_on_white():
    alpha = np.zeros((30, 40, 1), np.uint8)
    alpha[:, 20:] = 255
    laid = pictures.as_rgb(np.concatenate([RGB, alpha], axis=2))
    assert (laid[:, :20] == 255).all() and np.array_equal(laid[:, 20:], RGB[:, 20:])


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((0, 0, 3), np.uint8), "0×0 pixels has nothing to see"),
        (np.zeros((5, 0), np.uint8), "0×5 pixels has nothing to see"),
        (np.zeros((5, 5, 2), np.uint8), "shape .5, 5, 2. is no picture"),
        (np.zeros(5, np.uint8), "shape .5,. is no picture"),
        (np.full((5, 5), -1.0), "values from -1 to -1 are no picture"),
        (np.full((5, 5), np.nan), "values from nan to nan are no picture"),
        (np.full((5, 5), 300), "values from 300 to 300 are no picture"),
        (np.full((5, 5), "a"), "is no picture; give numbers"),
    ],
)
def test_arrays_that_are_no_pictures_are_told(array, message):
    with pytest.raises(PictureError, match=message):
        pictures.as_rgb(array)


def test_files_that_are_no_pictures_are_told(tmp_path):
    files = {
        name: tmp_path / name
        for name in ("empty.jpg", "text.jpg", "cut.jpg", "cut.png", "none.jpg")
    }
    files["empty.jpg"].touch()
    files["text.jpg"].write_text("Dear all,\nthis is a letter.\n")
    for name, kind in (("cut.jpg", "JPEG"), ("cut.png", "PNG")):
        saved(files[name], RNG.integers(0, 256, (200, 200, 3), np.uint8), format=kind)
        files[name].write_bytes(files[name].read_bytes()[:5000])
    messages = {
        "empty.jpg": "the file is empty",
        "text.jpg": "no picture, whatever its name says",
        "cut.jpg": "damaged or cut off",
        "cut.png": "damaged or cut off",
        "none.jpg": "no such file",
    }
    for name, message in messages.items():
        with pytest.raises(PictureError, match=f"{name}: {message}") as caught:
            pictures.read(files[name])
        assert "\n" not in str(caught.value)
    with pytest.raises(PictureError, match="a folder, not a picture"):
        pictures.read(tmp_path)


@pytest.mark.parametrize("side", [12_000, 20_000])
def test_a_picture_too_large_is_refused_before_its_pixels_are_read(tmp_path, monkeypatch, side):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    (tmp_path / "huge.png").write_bytes(
        start + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(
        PictureError, match=r"huge.png: .* million pixels, at most 120 are read; make it smaller"
    ):
        pictures.read(tmp_path / "huge.png")


def test_a_folder_is_listed_in_natural_order(tmp_path):
    for name in ("b10.png", "b2.JPG", "notes.txt", ".hidden.png", "a.webp"):
        (tmp_path / name).touch()
    (tmp_path / "sub.png").mkdir()
    assert [path.name for path in pictures.listed(tmp_path)] == ["a.webp", "b2.JPG", "b10.png"]


def test_a_folder_without_pictures_is_told(tmp_path):
    with pytest.raises(PictureError, match="no pictures in this folder"):
        pictures.listed(tmp_path)
    with pytest.raises(PictureError, match="no such file or folder"):
        pictures.listed(tmp_path / "none")


def test_every_kind_of_source_gives_the_same_pixels(tmp_path):
    path = saved(tmp_path / "a.png")
    with open(path, "rb") as file:
        sources = (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), file)
        for source in (*sources, io.BytesIO(path.read_bytes()), Image.open(path), RGB):
            assert np.array_equal(pictures.read(source), RGB)
    for wrong in (None, 7, ["a.png"], {"a": 1}, RGB.tolist(), object()):
        with pytest.raises(PictureError, match="is no picture; give a path, bytes, a file"):
            pictures.read(wrong)


def test_what_is_no_file_is_one_line_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    messages = {
        "fifo.png": "not a file that can be read",
        "folder.png": "a folder, not a picture",
        "broken.png": r"no such file or folder \(a broken link\)",
        "loop.png": "cannot be read",
        "nul\0.png": "damaged or cut off",
        "n" * 300 + ".png": "cannot be read",
    }
    for name, message in messages.items():
        with pytest.raises(PictureError, match=message) as caught:
            pictures.read(str(tmp_path / name))
        assert len(str(caught.value)) < 200 and str(caught.value).isprintable()


def test_a_large_jpeg_is_reduced_while_it_is_decoded(tmp_path):
    path = saved(tmp_path / "a.jpg", np.full((400, 800, 3), 90, np.uint8))
    assert pictures.read(path, smallest=48).shape == (50, 100, 3)
    assert pictures.read(path).shape == (400, 800, 3)
    assert pictures.read(path, smallest=300).shape == (400, 800, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_memory_of_one_picture(tmp_path, mode):
    """At most three times the decoded pixels, in a process of its own."""
    Image.new(mode, (6000, 5000)).save(tmp_path / "a.png", compress_level=1)
    script = (
        "import resource, sys; from fercore.data import pictures; pictures.read(sys.argv[2]);"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; pictures.read(sys.argv[1]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)"
    )
    small = saved(tmp_path / "b.png")
    call = [sys.executable, "-c", script, str(tmp_path / "a.png"), str(small)]
    kilobytes = int(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
    assert kilobytes * 1024 < 3 * 6000 * 5000 * len(mode)
