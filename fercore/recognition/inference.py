"""Trained networks ready to predict: from the ONNX files and card of an export, or from a .keras
file.

An exported network is NAME.onnx (weights in float16, computed in float32), NAME_int8.onnx (8-bit
integers) and NAME.json, its card: class names, side of the input, normalisation, temperatures, and
what is known of its accuracy. Keras is imported for .keras files only.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fercore.artifacts import printable
from fercore.data import augmentation
from fercore.data.faces import SIDE

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is first imported

FOLDER = Path(__file__).parent / "weights"  # the networks that come with the package
PRECISIONS = ("int8", "float32")
PRIORS = ("fer2013", "uniform")
CARD = ("class_names", "side", "normalisation")  # what a card must say; of a .keras file the first
BATCH = 64  # faces through the network at a time: more of them leave the processor's cache
Prior = str | Mapping[str, float]


class ModelError(ValueError):
    """A trained network that is missing, damaged, or of other classes than its card says."""


@dataclass(frozen=True)
class Network:
    """A trained network with what its input and output mean.

    `forward` takes float32 [n, side, side, 1] and gives probabilities float32 [n, c]; `side` is cut
    from the middle of a 48×48 face; `normalisation` as in `augmentation.normalise`. So many
    `augmentation.views` of a face are averaged; `precision`, one of `PRECISIONS`, is that of the
    arithmetic. `temperature` above 1 makes probabilities less extreme; `weights`, float [c], are
    what they are multiplied by for the prior. `card` is all that is known of the network.
    """

    name: str
    forward: Callable[[np.ndarray], np.ndarray]
    class_names: tuple[str, ...]
    side: int
    normalisation: str
    card: dict
    views: int = 1
    precision: str = "float32"
    temperature: float = 1.0
    weights: np.ndarray | None = None

    def probabilities(self, crops: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float32 [n, c] of gray faces uint8 [n, 48, 48]."""
        return calibrated(self.untempered(crops), self.temperature, self.weights)

    def untempered(self, crops: np.ndarray) -> np.ndarray:
        """Probabilities as the network gives them, float32 [n, c]."""
        crops = np.asarray(crops)
        if crops.dtype != np.uint8 or crops.shape[1:] != (SIDE, SIDE):
            raise ModelError(
                f"crops of {crops.dtype} {list(crops.shape)}; give uint8 [n, {SIDE}, {SIDE}]"
            )
        views, step = augmentation.views(self.views), max(1, BATCH // self.views)
        parts = [np.empty((0, len(self.class_names)), np.float32)]
        for k in range(0, len(crops), step):
            seen = [augmentation.seen(crops[k : k + step], view) for view in views]
            images = augmentation.crop(np.concatenate(seen), self.side)
            found = self.forward(augmentation.normalise(images, self.normalisation))
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
    threads: int | None = None,
    views: int = 1,
    prior: Prior | None = None,
    class_names: Sequence[str] | None = None,
) -> Network:
    """A network by name or file.

    A name is that of a network of this package, or of one of the study that was trained here on the
    whole of FER2013 (the newest outputs/*/models/*/NAME/*.keras). A file is an export's .onnx, its
    card beside it, or a .keras file. `precision`: 'int8' or 'float32', of an export; None takes
    int8 where there is one, as it is faster. `threads` of the processor to use, None for all.
    `views` of each face to average: 1, 2 with its mirror image, 10 with both smaller, larger and
    turned. `prior` is how common the expressions are in the pictures: 'fer2013', as in training,
    'uniform', or a share for each class; None takes what the card recommends. `class_names`
    names the outputs of a .keras file in their order, where nothing beside it does. Raises
    `ModelError`, or `TrainingError` for a .keras file, when there is no such network, when it is
    damaged, or when nothing says what its outputs mean.
    """
    if precision not in (None, *PRECISIONS):
        raise ModelError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}")
    if views not in augmentation.VIEWS:
        raise ModelError(f"views {views!r} is none of {', '.join(map(str, augmentation.VIEWS))}")
    path = _find(model)
    if path.suffix == ".keras":
        from fercore.recognition import keras_files

        return fitted(keras_files.load(path, class_names), views, prior)
    card, integers = read_card(path), path.with_name(f"{path.stem}_int8.onnx")
    if precision is None:
        precision = "int8" if integers.is_file() else "float32"
    file = integers if precision == "int8" else path
    network = from_bytes(file.name, _content(file), card, precision, threads=threads)
    return fitted(network, views, prior)


def fitted(network: Network, views: int, prior: Prior | None = None) -> Network:
    """The network averaging `views` of a face, with the temperature and the prior that its card has
    for them (else for one view)."""
    measured = network.card.get("precisions", {}).get(network.precision, {})
    fit = measured | measured.get("views", {}).get(str(views), {})
    weights = prior_weights(prior, network.class_names, network.card, fit.get("tau", 1.0))
    temperature = fit.get("temperature", 1.0)
    return replace(network, views=views, temperature=temperature, weights=weights)


def prior_weights(
    prior: Prior | None, class_names: tuple[str, ...], card: dict, tau: float
) -> np.ndarray | None:
    """What probabilities are multiplied by, float [c]: the classes' shares by those of the training
    data, to the power `tau` (logit adjustment, Menon et al. 2021, arXiv:2007.07314). None for the
    prior of the training data."""
    prior = card.get("prior", "fer2013") if prior is None else prior
    if prior == "fer2013":
        return None
    if isinstance(prior, Mapping):
        given = [prior.get(name) for name in class_names]
        numbers = all(isinstance(share, int | float) for share in given)
        shares = np.array(given, dtype=float) if numbers else np.full(len(given), -1.0)
        if (
            set(prior) != set(class_names)
            or not (shares >= 0).all()
            or not 0 < shares.sum() < np.inf
        ):
            raise ModelError(
                f"prior {printable(dict(prior))}: give a share of at least 0 for each of "
                f"{', '.join(class_names)}"
            )
    elif prior == "uniform":
        shares = np.ones(len(class_names))
    else:
        raise ModelError(
            f"prior {printable(prior)} is none of {', '.join(PRIORS)}, nor a share for each class"
        )
    if "shares" not in card:
        raise ModelError("the card has no shares of the training data; take prior fer2013")
    training = np.array([max(card["shares"][name], 1e-6) for name in class_names])
    return (shares / shares.sum() / training) ** tau


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
    # threads that wait for work by spinning slow whatever else runs on the machine
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        classes, image = session.get_outputs()[0].shape[-1], session.get_inputs()[0]
    except Exception as error:  # ONNX Runtime's own classes share no other base
        reason = printable(str(error).strip().partition("\n")[0])
        raise ModelError(f"{printable(name)}: damaged or no ONNX model ({reason})") from error
    if classes != len(card["class_names"]):
        raise ModelError(
            f"{name}: predicts {classes} classes, its card names {len(card['class_names'])}"
        )
    if image.shape[1:] != [card["side"], card["side"], 1]:
        raise ModelError(
            f"{name}: takes {image.shape[1:]}, its card says {card['side']}×{card['side']}"
        )
    return network(name, lambda images: session.run(None, {image.name: images})[0], card, precision)


def read_card(path: Path) -> dict:
    """The card beside a model file, NAME.json. Raises `ModelError` when it is missing or no
    card."""
    file = path.with_suffix(".json")
    name = printable(file.name)
    if not file.is_file():
        raise ModelError(f"{name}: missing; a model needs its card beside it")
    try:
        card = json.loads(_content(file))
        needed = CARD if path.suffix == ".onnx" else CARD[:1]
        missing = [key for key in needed if key not in card]
    except (ValueError, TypeError) as error:
        raise ModelError(f"{name}: no model card ({printable(error)})") from error
    if missing:
        raise ModelError(f"{name}: no model card, it lacks {', '.join(missing)}")
    names = card["class_names"]
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise ModelError(
            f"{name}: class_names {printable(repr(names))} is no list of names; give one for each "
            "output, in order"
        )
    how = card.get("normalisation", "standardise")
    if how not in augmentation.NORMALISATIONS:
        known = ", ".join(augmentation.NORMALISATIONS)
        raise ModelError(f"{name}: normalisation {printable(repr(how))} is none of {known}")
    return card


def _find(model: str | Path) -> Path:
    if not isinstance(model, str | Path):
        raise ModelError(f"a model of type {type(model).__name__}: give a name or a file")
    path = Path(model).expanduser()
    if path.suffix in (".onnx", ".keras"):
        if not path.is_file():
            raise ModelError(f"{printable(path)}: no such model file")
        return path
    from fercore.recognition import keras_files

    packaged = {file.stem: file for file in FOLDER.glob("*.onnx")}
    packaged = {name: file for name, file in packaged.items() if not name.endswith("_int8")}
    known = {file.parent.name: file for file in keras_files.trained()} | packaged
    if str(model) not in known:
        raise ModelError(
            f"model {printable(repr(str(model)))} is unknown; there are "
            f"{', '.join(sorted(known)) or 'none yet'}; or give an .onnx or .keras file"
        )
    return known[str(model)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{printable(path.name)}: not there; take precision float32") from None
    except OSError as error:
        raise ModelError(f"{printable(path)}: cannot be read ({error.strerror})") from error


def network(
    name: str, forward: Callable[[np.ndarray], np.ndarray], card: dict, precision: str = "float32"
) -> Network:
    made = Network(
        name,
        forward,
        tuple(card["class_names"]),
        card["side"],
        card["normalisation"],
        card,
        precision=precision,
    )
    tried = made.untempered(np.arange(SIDE * SIDE, dtype=np.uint8).reshape(1, SIDE, SIDE))
    if tried.shape != (1, len(made.class_names)) or not abs(tried.sum() - 1) < 0.01 > -tried.min():
        raise ModelError(
            f"{printable(name)}: its outputs are no probabilities; end the network with softmax"
        )
    return made
