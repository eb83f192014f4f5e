"""Trained networks ready to answer: from the ONNX file and card of an export, or from a .keras file of the study.

An exported network is two files, NAME.onnx (weights in float16) and NAME.json, its card: class names, side of the
input, normalisation, temperature and what is known of its accuracy. ONNX Runtime starts in a fraction of a second where
TensorFlow takes several; Keras is imported for .keras files only.
"""
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fercore import paths, preprocessing
from fercore.faces import CLASS_NAMES, SIDE

FOLDER = paths.OUTPUTS / "published" / "recogniser"
BATCH = 64  # faces through the network at a time: larger ones leave the processor's cache


class ModelError(ValueError):
    """A trained network that is missing, damaged, or of other classes than its card says."""


@dataclass(frozen=True)
class Network:
    """A trained network with what its input and output mean.

    `forward` takes float32 [n, side, side, 1] and gives probabilities float32 [n, c]; `side` is cut from the middle
    of a 48×48 face; `normalisation` as in `preprocessing.normalise`; `temperature` above 1 makes probabilities less
    extreme. `card` is all that is known of it.
    """

    name: str
    forward: Callable[[np.ndarray], np.ndarray]
    class_names: tuple[str, ...]
    side: int
    normalisation: str
    temperature: float
    card: dict

    def probabilities(self, crops: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float32 [n, c] of gray faces uint8 [n, 48, 48]."""
        crops = np.asarray(crops)
        if crops.dtype != np.uint8 or crops.shape[1:] != (SIDE, SIDE):
            raise ModelError(f"crops of {crops.dtype} {list(crops.shape)}; give uint8 [n, {SIDE}, {SIDE}]")
        parts = [np.empty((0, len(self.class_names)), np.float32)]
        for k in range(0, len(crops), BATCH):
            images = preprocessing.crop(crops[k : k + BATCH], self.side)
            parts.append(self.forward(preprocessing.normalise(images, self.normalisation)))
        return tempered(np.concatenate(parts), self.temperature)


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [n, c] as if their logits had been divided by `temperature` (Guo et al. 2017, section 4.2)."""
    powers = np.maximum(probabilities, 1e-30) ** (1 / temperature)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def load(model: str | Path, *, threads: int | None = None) -> Network:
    """A network by name or file; `threads` of the processor to use, None for all.

    A name is that of an export in outputs/published/recogniser, or of a network of the study that was trained here (the
    newest .keras file in outputs/*/models/*/NAME). A file is an export's .onnx, its card beside it, or a .keras
    file. Raises `ModelError` when there is none, when it is damaged, or when its classes are not those of its card.
    """
    path = _find(model)
    return _from_keras(path) if path.suffix == ".keras" else _from_onnx(path, threads)


def _find(model: str | Path) -> Path:
    path = Path(model)
    if path.suffix in (".onnx", ".keras"):
        if not path.is_file():
            raise ModelError(f"{path}: no such model file")
        return path
    exported = FOLDER / f"{model}.onnx"
    if exported.is_file():
        return exported
    trained = sorted(paths.OUTPUTS.glob(f"*/models/*/{model}/*.keras"), key=lambda file: file.stat().st_mtime)
    if not trained:
        known = {file.stem for file in FOLDER.glob("*.onnx")}
        known |= {file.parent.name for file in paths.OUTPUTS.glob("*/models/*/*/*.keras")}
        raise ModelError(f"model {str(model)!r} is unknown; there are {', '.join(sorted(known)) or 'none yet'}; "
                         "or give an .onnx or .keras file")
    return trained[-1]


def _from_onnx(path: Path, threads: int | None) -> Network:
    import onnxruntime

    card = _card(path.with_suffix(".json"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes share no other base
        raise ModelError(f"{path.name}: damaged, no ONNX model ({str(error).splitlines()[0][:120]})") from error
    _check_classes(path.name, session.get_outputs()[0].shape[-1], card)
    name = session.get_inputs()[0].name
    return _network(path.stem, lambda images: session.run(None, {name: images})[0], card)


def _from_keras(path: Path) -> Network:
    from fercore import networks, training

    card = _card(path.with_suffix(".json")) if path.with_suffix(".json").exists() else {"class_names": CLASS_NAMES}
    model = training.load_model(path, len(card["class_names"]))
    if networks.inputs(model) != ["image"]:
        raise ModelError(f"{path.name}: takes {', '.join(networks.inputs(model))}; a recogniser feeds pictures only")
    return _network(
        path.stem, lambda images: model.predict_on_batch({"image": images}), {"side": model.inputs[0].shape[1]} | card
    )


def _network(name: str, forward: Callable[[np.ndarray], np.ndarray], card: dict) -> Network:
    return Network(
        name, forward, tuple(card["class_names"]), card.get("side", SIDE), card.get("normalisation", "standardise"),
        card.get("temperature", 1.0), card,
    )


def _card(path: Path) -> dict:
    try:
        card = json.loads(path.read_text())
        card["class_names"][0]
        return card
    except FileNotFoundError:
        raise ModelError(f"{path.name}: missing; a model needs its card beside it") from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(f"{path.name}: no model card ({error})") from error


def _check_classes(name: str, classes: int, card: dict) -> None:
    if classes != len(card["class_names"]):
        raise ModelError(f"{name}: tells {classes} classes apart, its card names {len(card['class_names'])}")
