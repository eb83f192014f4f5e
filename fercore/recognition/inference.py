"""Trained networks ready to predict: from the files of an export, as `model_card` writes them, or
from a .keras file, for which alone Keras is imported."""

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fercore import artifacts, paths
from fercore.artifacts import printable
from fercore.data import augmentation
from fercore.data.faces import SIDE
from fercore.data.splits import SPLITS

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is first imported

FOLDER = paths.WEIGHTS  # the networks that come with the package
PRECISIONS = ("int8", "float32")
PRIORS = ("fer2013", "uniform")
BATCH = 64  # faces through the network at a time: more of them leave the processor's cache
Prior = str | Mapping[str, float]
Forward = Callable[[np.ndarray], np.ndarray]


class ModelError(ValueError):
    """A trained network that is missing, damaged, or of other classes than its card says."""


@dataclass(frozen=True)
class Network:
    """A trained network: `forward` takes float32 [n, side, side, 1], the middle of 48×48 faces, and
    gives probabilities float32 [n, c]; `normalisation` and `views` as in `augmentation`,
    `temperature` and `weights` as in `calibrated`."""

    name: str
    forward: Forward
    class_names: tuple[str, ...]
    side: int
    normalisation: str
    card: dict
    precision: str = "float32"
    views: int = 1
    temperature: float = 1.0
    weights: np.ndarray | None = None

    def probabilities(self, crops: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float32 [n, c] of gray faces uint8 [n, 48, 48]."""
        return calibrated(self.untempered(crops), self.temperature, self.weights)

    def untempered(self, crops: np.ndarray) -> np.ndarray:
        """Probabilities as the network gives them, float32 [n, c]."""
        crops = np.asarray(crops)
        if crops.dtype != np.uint8 or crops.shape[1:] != (SIDE, SIDE):
            kind, shape = crops.dtype, list(crops.shape)
            raise ModelError(f"crops of {kind} {shape}; give uint8 [n, {SIDE}, {SIDE}]")
        step = max(1, BATCH // self.views)
        upright = [view for view in augmentation.views(self.views) if not view.mirror]
        parts = [np.empty((0, len(self.class_names)), np.float32)]
        for k in range(0, len(crops), step):
            batch = crops[k : k + step]
            seen = np.concatenate([augmentation.seen(batch, view) for view in upright])
            images = augmentation.normalise(augmentation.crop(seen, self.side), self.normalisation)
            if self.views > 1:
                images = np.concatenate([images, images[:, :, ::-1]])
            found = self.forward(images)
            parts.append(found.reshape(self.views, -1, found.shape[-1]).mean(axis=0))
        return np.concatenate(parts)


def calibrated(
    probabilities: np.ndarray, temperature: float, weights: np.ndarray | None = None
) -> np.ndarray:
    """Probabilities [n, c] as if their logits had been divided by `temperature` (Guo et al. 2017,
    section 4.2), then multiplied by `weights` [c] (Menon et al. 2021, section 3)."""
    powers = np.maximum(probabilities, 1e-30) ** (1 / temperature)
    powers = powers if weights is None else powers * weights
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def load(
    model: str | Path = "compact",
    *,
    precision: str | None = None,
    views: int = 1,
    prior: Prior | None = None,
    class_names: Sequence[str] | None = None,
) -> Network:
    """A network of this package by name, or a file: an export's .onnx, its card beside it, or a
    .keras file, whose outputs `class_names` names in order where nothing beside it does.

    `precision` None takes int8 where there is one. `prior`: how common the expressions are,
    'fer2013', as in training, 'uniform', or a share for each class; None takes what the card
    recommends. Raises `ModelError`, of a .keras file also `TrainingError`.
    """
    if precision not in (None, *PRECISIONS):
        raise ModelError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    augmentation.views(views)  # which raises for another number
    path = Path(model).expanduser()
    if path.suffix not in (".onnx", ".keras"):
        path = FOLDER / f"{model}.onnx"
    if not path.is_file():
        known = sorted(card.stem for card in FOLDER.glob("*.json"))
        cure = f"give {', '.join(known)}, or a file .onnx or .keras"
        raise ModelError(f"{printable(model)}: no such model; {cure}")
    if path.suffix == ".keras":
        return fitted(_of_keras(path, class_names), views, prior)
    if class_names is not None:
        raise ModelError(f"{printable(path.name)}: its card names the classes; leave them out")
    card, integers = read_card(path), path.with_name(f"{path.stem}_int8.onnx")
    precision = precision or ("int8" if integers.is_file() else "float32")
    file = integers if precision == "int8" else path
    if not file.is_file():
        raise ModelError(f"{printable(file.name)}: not there; take precision float32")
    network = from_bytes(printable(file.name), file.read_bytes(), card, precision)
    return fitted(network, views, prior)


def fitted(network: Network, views: int, prior: Prior | None = None) -> Network:
    """The network averaging `views`, with the temperature and prior that its card has for them."""
    measured = network.card.get("precisions", {}).get(network.precision, {})
    fit = measured | measured.get("views", {}).get(str(views), {})
    weights = _prior_weights(prior, network.class_names, network.card, fit.get("tau", 1.0))
    return replace(network, views=views, temperature=fit.get("temperature", 1.0), weights=weights)


def _prior_weights(
    prior: Prior | None, class_names: tuple[str, ...], card: dict, tau: float
) -> np.ndarray | None:
    """What probabilities are multiplied by, float [c] (Menon et al. 2021, arXiv:2007.07314): shares
    by those in training, to the power `tau`; None for the prior there."""
    prior = card.get("prior", "fer2013") if prior is None else prior
    if prior == "fer2013":
        return None
    given = dict.fromkeys(class_names, 1.0) if prior == "uniform" else prior
    try:
        shares = np.array([given[name] for name in class_names], float)  # type: ignore[index, type-var]
        good = len(given) == len(shares) and shares.min() >= 0 and 0 < shares.sum() < np.inf
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        fault = f"give fer2013, uniform, or a share of at least 0 for {', '.join(class_names)}"
        raise ModelError(f"prior {printable(prior)}: {fault}")
    if "shares" not in card:
        raise ModelError("the card has no shares of the training data; take prior fer2013")
    training = np.array([max(card["shares"][name], 1e-6) for name in class_names])
    return (shares / shares.sum() / training) ** tau


def from_bytes(name: str, content: bytes, card: dict, precision: str = "float32") -> Network:
    """A network from an exported file `name`, computing in `precision`. Raises `ModelError`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # threads that wait for work by spinning slow whatever else runs on the machine
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        classes, image = session.get_outputs()[0].shape[-1], session.get_inputs()[0]
    except Exception as error:  # ONNX Runtime's own classes share no other base
        raise ModelError(f"{name}: damaged or no ONNX model ({printable(error)})") from error
    takes, said, count = image.shape[1:], [card["side"], card["side"], 1], len(card["class_names"])
    if (takes, classes) != (said, count):
        fault = f"predicts {classes} classes of {takes}, its card says {count} of {said}"
        raise ModelError(f"{name}: {fault}")
    return network(name, lambda images: session.run(None, {image.name: images})[0], card, precision)


def network(name: str, forward: Forward, card: dict, precision: str = "float32") -> Network:
    """A network of a function. Raises `ModelError` when its outputs are no probabilities."""
    names = tuple(card["class_names"])
    made = Network(name, forward, names, card["side"], card["normalisation"], card, precision)
    tried = made.untempered(np.arange(SIDE * SIDE, dtype=np.uint8).reshape(1, SIDE, SIDE))
    valid = abs(tried.sum() - 1) < 0.01 and tried.min() > -0.01  # False for NaN
    if tried.shape != (1, len(names)) or not valid:
        raise ModelError(f"{name}: its outputs are no probabilities; end the network with softmax")
    return made


def read_card(path: Path) -> dict:
    """The card beside a model, NAME.json. Raises `ModelError` when it is missing or no card."""
    file, known = path.with_suffix(".json"), augmentation.NORMALISATIONS
    needed = ["class_names"] + ["normalisation", "side"] * (path.suffix != ".keras")
    if not file.is_file():
        raise ModelError(f"{printable(file.name)}: missing; a model needs its card beside it")
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
        names, how = card["class_names"], card.get("normalisation", "raw")
        sound = set(needed) <= card.keys() and how in known and isinstance(names, list)
        sound &= all(isinstance(name, str) for name in names)
        for fit in card.get("precisions", {}).values():
            fits = (fit, *fit.get("views", {}).values())
            sound &= all(one.get("temperature", 1) > 0 for one in fits)
        sound &= all(card["shares"][name] >= 0 for name in names if "shares" in card)
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        rule = f"a list of a name for each output, in order; normalisation is {' or '.join(known)}"
        fault = f"no model card; it must hold {', '.join(needed)}: {rule}"
        raise ModelError(f"{printable(file.name)}: {fault}")
    return card


def describe(path: Path) -> dict:
    """What is known of a .keras file: by its card, or the record of its training where it lies in a
    run (models/SPLIT/NETWORK/seed0.keras); else the side of a face alone."""
    if path.with_suffix(".json").is_file():
        return {"side": SIDE} | read_card(path)
    place = path.resolve()
    try:
        split, network = place.parts[-3:-1]
        seed = int(path.stem.removeprefix("seed"))
        record = artifacts.read_record(place.parents[3], split, network, seed)
    except (ValueError, IndexError):
        return {"side": SIDE}
    recipe, names = record["recipe_parameters"], list(SPLITS[split].class_names)
    card = {"side": recipe.get("crop") or SIDE, "normalisation": recipe["normalisation"]}
    card |= {"class_names": names, "training": record}
    return card | {key: record[key] for key in ("network", "split")}


def _of_keras(path: Path, class_names: Sequence[str] | None) -> Network:
    """A network from a .keras file of a single input, gray or RGB; faces are resized to it."""
    from fercore.training import loading

    card = loading.training_of(path) | describe(path)
    names = list(class_names or card.get("class_names", ()))
    if "normalisation" not in card:
        doubt = 'faces are standardised, as its card, NAME.json, has no "normalisation"'
        warnings.warn(f"{printable(path.name)}: {doubt}", stacklevel=4)
    model = loading.load(path, names or None, side=card["side"])

    def forward(images: np.ndarray) -> np.ndarray:
        outputs = np.asarray(model.predict_on_batch({"image": images}), np.float32)
        return loading.distributions(outputs, path.name)

    known = {"normalisation": "standardise"} | card | {"class_names": names}
    return network(printable(path.name), forward, known)
