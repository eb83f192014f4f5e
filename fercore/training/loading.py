"""Trained models as `.keras` files: the one place that reads and writes them."""

import json
import logging
import re
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers

from fercore import artifacts
from fercore.config import SIDE, parameters
from fercore.data.splits import SPLITS
from fercore.models import registry  # noqa: F401  files name its layers

logger = logging.getLogger(__name__)

LARGEST = 4 << 30  # bytes that a file may unpack to


class TrainingError(ValueError):
    """A trained model that cannot be used."""


def save(model: keras.Model, path: Path, training: dict | None = None) -> Path:
    """Write a model as .keras, atomically, without its optimizer; `training` for `training_of`."""
    plain = keras.Model(model.input, model.output, name=model.name)
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "model.keras"
        plain.save(temporary)
        if training is not None:
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr("training.json", json.dumps(training))
        return artifacts.write_atomically(path, temporary.read_bytes())


def training_of(path: Path) -> dict:
    """What `save` was given beside the model; empty where there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("training.json"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}


def load(
    path: str | Path,
    classes: Sequence[str] | None = None,
    *,
    inputs: Sequence[str] = ("image",),
    side: int | None = None,
    wanted: Sequence[str] | None = None,
) -> keras.Model:
    """A trained model from a .keras file, made to take what the study feeds it.

    `classes` names its outputs in their order; None: as the card beside it, the file itself, or its
    place in a run says. With `wanted`, the same names in another order, its outputs come in that
    one. Models with descriptors take `inputs` by these names. A single input may have any name,
    side and RGB: gray faces [n, side, side, 1] are resized and repeated inside the model. `side`
    None: its own, SIDE where it takes any. Raises `TrainingError`.
    """
    path = Path(path)
    model, name = _read(path), path.name
    named = list(classes) if classes is not None else _known_classes(path)
    shown, shapes = artifacts.printable(", ".join(named)), [tuple(y.shape) for y in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise TrainingError(f"{name}: must have one output, class probabilities; has {shapes}")
    if (n := shapes[0][1]) != len(named):
        raise TrainingError(f"{name}: predicts {n} classes, expected are {len(named)}: {shown}")
    model = _fed(model, name, inputs, side)
    _check_probabilities(model, name)
    if wanted is None or list(wanted) == named:
        return model
    known = [one.strip().casefold() for one in named]
    order = [one.casefold() for one in wanted]
    if sorted(known) != sorted(order):
        theirs = artifacts.printable(", ".join(wanted))
        raise TrainingError(f"{name}: its classes are {shown}; the data has {theirs}")
    taken = keras.ops.take(model.output, [known.index(one) for one in order], axis=1)
    return keras.Model(model.input, taken, name=model.name)


def trained(
    folder: Path, split: str, network: str, seed: int, classes: Sequence[str]
) -> keras.Model:
    """The model of a network that the run in `folder` trained. Raises `TrainingError`."""
    settings, path = parameters.network(network), artifacts.model_path(folder, split, network, seed)
    if not path.exists():
        fault = f"no model of {network} on {split}, seed {seed}"
        cure = f"train this network first, by notebook {settings['notebook']}"
        raise TrainingError(f"outputs/{folder.name}: {fault}; {cure}")
    return load(path, classes, inputs=settings["inputs"])


def distributions(outputs: np.ndarray, name: str) -> np.ndarray:
    """Outputs [n, c] of the network `name`, divided by their sums where these are not one, as of a
    sigmoid. Raises `TrainingError` for outputs that are no probabilities."""
    if not (outputs.min() >= 0 and outputs.max() <= 1.001):  # NaN fails as well
        found = f"outputs from {outputs.min():.3g} to {outputs.max():.3g} are no probabilities"
        raise TrainingError(f"{name}: {found}; end the model with softmax or sigmoid")
    sums = outputs.sum(1, keepdims=True)
    return outputs if np.allclose(sums, 1, atol=0.001) else outputs / np.maximum(sums, 1e-12)


def _known_classes(path: Path) -> list[str]:
    try:
        names = json.loads(path.with_suffix(".json").read_text())["class_names"]
    except (OSError, ValueError, KeyError, TypeError):
        names = training_of(path).get("class_names")
    if names:
        return list(map(str, names))
    if path.parents[2:] and path.parents[2].name == "models" and path.parents[1].name in SPLITS:
        return list(SPLITS[path.parents[1].name].class_names)
    raise TrainingError(
        f"{path.name}: nothing says which classes its outputs are; write them in their order as "
        f'{{"class_names": [...]}} into {path.stem}.json beside it, or give them as class_names'
    )


def _read(path: Path) -> keras.Model:
    if not path.is_file():
        raise TrainingError(f"{path}: no such file; give a .keras file, or null to train")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST:
            raise ValueError(f"unpacks to {size >> 30} GB; at most {LARGEST >> 30} are read")
        model = keras.models.load_model(path, compile=False, safe_mode=True)
        if not isinstance(model, keras.Model):
            raise TypeError(f"holds a {type(model).__name__} alone; save the whole model")
        return model
    except Exception as error:  # whatever zip, Keras, its layers and the backend raise
        raise TrainingError(f"{path.name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Why a model could not be read, in a line."""
    text = str(error)
    if "Lambda" in text and "deserializ" in text:
        return "has a Lambda layer, Python code that is never run from a file; use Keras's layers"
    inner = re.findall(r"Exception encountered: (.+)", text)
    lines = [line for line in text.splitlines() if line.strip()] or [type(error).__name__]
    shown = artifacts.printable(inner[-1] if inner else lines[0])
    return f"no readable .keras file ({shown}); copy or train it again"


def _fed(model: keras.Model, name: str, inputs: Sequence[str], side: int | None) -> keras.Model:
    """The model with the `inputs` of the study, faces of `side` pixels."""
    shapes = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    single = len(shapes) == 1 and list(inputs) == ["image"]
    if not single and set(shapes) != set(inputs):
        raise TrainingError(f"{name}: takes {', '.join(shapes)}; wanted is {', '.join(inputs)}")
    shape = next(iter(shapes.values())) if single else shapes["image"]
    if len(shape) != 3 or shape[2] not in (1, 3, None) or shape[0] != shape[1]:
        raise TrainingError(f"{name}: takes {_shown(shape)}, no square pictures, gray or RGB")
    side = side or shape[0] or SIDE
    plain = isinstance(model, keras.Sequential)  # which takes its input without a name
    if set(shapes) == set(inputs) and shape == (side, side, 1) and not plain:
        return model
    if not single:
        raise TrainingError(f"{name}: takes faces of {_shown(shape)}, they are {side}×{side}×1")
    face = layers.Input((side, side, 1), name="image")
    if shape[0] not in (None, side) or shape[2] == 3:
        logger.warning("%s: takes %s, faces are %d×%d×1: adapted", name, _shown(shape), side, side)
    seen = layers.Resizing(*shape[:2])(face) if shape[0] not in (None, side) else face
    seen = layers.Concatenate()([seen] * 3) if shape[2] == 3 else seen
    given = {model.inputs[0].name: seen} if not plain and isinstance(model.input, dict) else seen
    return keras.Model({"image": face}, model(given), name=model.name)


def _check_probabilities(model: keras.Model, name: str) -> None:
    rng = np.random.default_rng(0)
    probe = {one.name: rng.normal(size=(2, *one.shape[1:])).astype("f4") for one in model.inputs}
    try:
        outputs = np.asarray(model.predict_on_batch(probe))
    except Exception as error:  # whatever its layers raise
        raise TrainingError(f"{name}: cannot predict ({artifacts.printable(error)})") from error
    distributions(outputs, name)


def _shown(shape: tuple) -> str:
    return "×".join("any" if length is None else str(length) for length in shape)
