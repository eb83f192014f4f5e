"""Trained networks ready to answer: from the ONNX files and card of an export, or from a .keras
file of the study.

An exported network is NAME.onnx (weights in float16, computed in float32 or, made on first use, in
8-bit integers) and NAME.json, its card: class names, side of the input, normalisation,
temperatures, and what is known of its accuracy. ONNX Runtime starts in a fraction of a second where
TensorFlow takes several; Keras is imported for .keras files only.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fercore import paths
from fercore.data import augmentation
from fercore.data.faces import CLASS_NAMES, SIDE
from fercore.models import quantisation

FOLDER = paths.OUTPUTS / "published" / "recogniser"
PRECISIONS = ("int8", "float32")
BATCH = 64  # faces through the network at a time: more of them leave the processor's cache


class ModelError(ValueError):
    """A trained network that is missing, damaged, or of other classes than its card says."""


@dataclass(frozen=True)
class Network:
    """A trained network with what its input and output mean.

    `forward` takes float32 [n, side, side, 1] and gives probabilities float32 [n, c]; `side` is cut
    from the middle of a 48×48 face; `normalisation` as in `augmentation.normalise`; `temperature`
    above 1 makes probabilities less extreme; so many `augmentation.views` of a face are averaged;
    `precision`, one of `PRECISIONS`, is that of the arithmetic. `card` is all that is known of it.
    """

    name: str
    forward: Callable[[np.ndarray], np.ndarray]
    class_names: tuple[str, ...]
    side: int
    normalisation: str
    temperature: float
    card: dict
    views: int = 1
    precision: str = "float32"

    def probabilities(self, crops: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float32 [n, c] of gray faces uint8 [n, 48, 48]."""
        return tempered(self.untempered(crops), self.temperature)

    def untempered(self, crops: np.ndarray) -> np.ndarray:
        """Probabilities as the network gives them, float32 [n, c]."""
        crops = np.asarray(crops)
        if crops.dtype != np.uint8 or crops.shape[1:] != (SIDE, SIDE):
            raise ModelError(
                f"crops of {crops.dtype} {list(crops.shape)}; give uint8 [n, {SIDE}, {SIDE}]"
            )
        parts = [np.empty((0, len(self.class_names)), np.float32)]
        for k in range(0, len(crops), BATCH):
            answers = [
                self._asked(augmentation.seen(crops[k : k + BATCH], view))
                for view in augmentation.views(self.views)
            ]
            parts.append(np.mean(answers, axis=0))
        return np.concatenate(parts)

    def _asked(self, crops: np.ndarray) -> np.ndarray:
        images = augmentation.crop(crops, self.side)
        return self.forward(augmentation.normalise(images, self.normalisation))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [n, c] as if their logits had been divided by `temperature` (Guo et al. 2017,
    section 4.2)."""
    powers = np.maximum(probabilities, 1e-30) ** (1 / temperature)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def load(
    model: str | Path, *, precision: str | None = None, threads: int | None = None, views: int = 1
) -> Network:
    """A network by name or file.

    A name is that of an export in outputs/published/recogniser, or of a network of the study that
    was trained here on the whole of FER2013 (the newest .keras file in outputs/*/models/*/NAME). A
    file is an export's .onnx, its card beside it, or a .keras file. `precision`: 'int8' or
    'float32', of an export; None takes int8 where there is one, as it is faster. `threads` of the
    processor to use, None for all. `views` of each face to average: 1, 2 with its mirror image, 10
    with both smaller, larger and turned; accuracy rises, time is multiplied. Raises `ModelError`
    when there is no such network, when it is damaged, or when its classes are not those of its
    card.
    """
    if precision not in (None, *PRECISIONS):
        raise ModelError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}")
    if views not in augmentation.VIEWS:
        raise ModelError(f"views {views!r} is none of {', '.join(map(str, augmentation.VIEWS))}")
    path = _find(model)
    if path.suffix == ".keras":
        return with_views(_from_keras(path), views)
    card, content = _card(path), path.read_bytes()
    if precision == "int8" and "ranges" not in card:
        raise ModelError(
            f"{path.name}: its card lacks the ranges for 8-bit integers; take precision float32"
        )
    precision = precision or ("int8" if "ranges" in card else "float32")
    return with_views(from_bytes(path.name, content, card, precision, threads=threads), views)


def with_views(network: Network, views: int) -> Network:
    """The network averaging `views` of a face, with the temperature that its card has for them
    (else for one)."""
    measured = network.card.get("precisions", {}).get(network.precision, {}).get("views", {})
    temperature = measured.get(str(views), {}).get("temperature", network.temperature)
    return replace(network, views=views, temperature=temperature)


def from_bytes(
    name: str, content: bytes, card: dict, precision: str = "float32", *, threads: int | None = None
) -> Network:
    """A network from the bytes of an exported file `name` and its card, computing in `precision`,
    one of `PRECISIONS`.

    Raises `ModelError` as `load` does.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    try:
        if precision == "int8":
            content = quantisation.kept(name, content, card["ranges"])
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        classes, image = session.get_outputs()[0].shape[-1], session.get_inputs()[0]
    except Exception as error:  # ONNX Runtime's own classes share no other base
        raise ModelError(
            f"{name}: damaged or no ONNX model ({str(error).splitlines()[0][:120]})"
        ) from error
    if classes != len(card["class_names"]):
        raise ModelError(
            f"{name}: tells {classes} classes apart, its card names {len(card['class_names'])}"
        )
    if image.shape[1:] != [card["side"], card["side"], 1]:
        raise ModelError(
            f"{name}: takes {image.shape[1:]}, its card says {card['side']}×{card['side']}"
        )
    return _network(
        name, lambda images: session.run(None, {image.name: images})[0], card, precision
    )


def describe(path: Path) -> dict:
    """What is known of a .keras file: network, protocol, class_names, normalisation, training; side
    of cropped faces.

    It is taken from a card beside it, or from the record of its training when it lies where a run
    saves it (models/PROTOCOL/NETWORK/seed0.keras); else it is assumed to know FER2013's seven
    classes, standardised.
    """
    if path.with_suffix(".json").is_file():
        return _card(path)
    try:
        record = json.loads(_record(path).read_text())
    except (OSError, ValueError, IndexError):
        return {
            "network": path.stem,
            "protocol": "official",
            "class_names": list(CLASS_NAMES),
            "normalisation": "standardise",
            "training": {},
        }
    from fercore.data import splits

    recipe = record["recipe_parameters"]
    crop = {"side": recipe["crop"]} if recipe.get("crop") else {}
    return {
        "network": record["network"],
        "protocol": record["protocol"],
        "training": record,
        "class_names": list(splits.PROTOCOLS[record["protocol"]].class_names),
        "normalisation": recipe["normalisation"],
    } | crop


def _find(model: str | Path) -> Path:
    path = Path(model)
    if path.suffix in (".onnx", ".keras"):
        if not path.is_file():
            raise ModelError(f"{path}: no such model file")
        return path
    exported = FOLDER / f"{model}.onnx"
    if exported.is_file():
        return exported
    trained = {
        file.parent.name: file for file in sorted(_trained(), key=lambda file: file.stat().st_mtime)
    }
    if str(model) not in trained:
        known = {file.stem for file in FOLDER.glob("*.onnx")} | trained.keys()
        raise ModelError(
            f"model {str(model)!r} is unknown; there are {', '.join(sorted(known)) or 'none yet'}; "
            "or give an .onnx or .keras file"
        )
    return trained[str(model)]


def _trained() -> Iterator[Path]:
    """Networks that were trained here on the whole of FER2013: what a quick run leaves is not for
    faces."""
    for path in paths.OUTPUTS.glob("*/models/*/*/*.keras"):
        data = describe(path)["training"].get("data", {})
        if data.get("origin", "").startswith("FER2013") and data.get("subset") is None:
            yield path


def _from_keras(path: Path) -> Network:
    from fercore.models import registry
    from fercore.training import trainer

    card = describe(path)
    model = trainer.load_model(path, len(card["class_names"]))
    if registry.inputs(model) != ["image"]:
        raise ModelError(
            f"{path.name}: takes {', '.join(registry.inputs(model))}; a recogniser feeds pictures only"
        )

    def forward(images: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict_on_batch({"image": images}), np.float32)

    return _network(path.name, forward, {"side": model.inputs[0].shape[1]} | card)


def _network(
    name: str, forward: Callable[[np.ndarray], np.ndarray], card: dict, precision: str = "float32"
) -> Network:
    measured = card.get("precisions", {}).get(precision, {})
    return Network(
        name,
        forward,
        tuple(card["class_names"]),
        card["side"],
        card["normalisation"],
        measured.get("temperature", 1.0),
        card,
        precision=precision,
    )


def _card(path: Path) -> dict:
    """The card beside a model file."""
    file = path.with_name(path.name.removesuffix(path.suffix) + ".json")
    try:
        card = json.loads(file.read_text())
        missing = [name for name in ("class_names", "side", "normalisation") if name not in card]
    except FileNotFoundError:
        raise ModelError(f"{file.name}: missing; a model needs its card beside it") from None
    except (ValueError, TypeError) as error:
        raise ModelError(f"{file.name}: no model card ({error})") from error
    if missing:
        raise ModelError(f"{file.name}: no model card, it lacks {', '.join(missing)}")
    names = card["class_names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError(
            f"{file.name}: class_names {names!r} is no list of names; export the model again"
        )
    return card


def _record(path: Path) -> Path:
    """Where the record of a training lies when its model lies in a run's folder."""
    from fercore import artifacts

    network, protocol, run = path.parent.name, path.parent.parent.name, path.resolve().parents[3]
    return artifacts.prediction_path(run, protocol, network, 0).with_name(f"{path.stem}.json")
