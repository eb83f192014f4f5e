"""A trained network made ready for others: exported, calibrated, measured, described. Files are
NAME.onnx (weights in float16), NAME_int8.onnx (8-bit integers), NAME.json, the card that
`inference` reads, and MODEL_CARD.md, the same for people."""

import timeit
from pathlib import Path

import jinja2
import numpy as np

from fercore import artifacts
from fercore.config import DEFAULT_VIEWS
from fercore.data import augmentation, splits
from fercore.data.faces import DatasetError, Faces
from fercore.evaluation import metrics
from fercore.models import onnx_export, registry
from fercore.recognition import inference

CALIBRATION_FACES = 512  # training faces that show the ranges of 8-bit numbers
TAUS = np.round(np.arange(0, 1.01, 0.05), 2)
ACCURACY_FOR_RECALL = 0.003  # what the default prior may cost on validation faces
TEMPLATE = Path(__file__).with_name("model_card.md")


def write(model_file: Path, target: Path, faces: Faces) -> Path:
    """Export a .keras file of the study as `target` (NAME.onnx) with its card; where that lies.

    Temperature, tau and the default prior are fitted on validation faces. Raises `DatasetError` for
    faces other than FER2013, `TrainingError` or `ModelError` for a network that cannot be used.
    """
    from fercore.training import loading

    if target.suffix != ".onnx":
        raise inference.ModelError(f"{artifacts.printable(target)}: name the target NAME.onnx")
    if not faces.is_fer2013:
        raise DatasetError(f"{faces.origin}: a model card needs FER2013 itself; give it by --data")
    card, name = inference.describe(Path(model_file)), artifacts.printable(model_file)
    if "split" not in card:
        place = "outputs/PROFILE/models/SPLIT/NETWORK/seed0.keras"
        raise inference.ModelError(f"{name}: no record of its training; give a run's {place}")
    faces, split = splits.prepare(faces, card["split"])
    model = loading.load(model_file, faces.class_names, side=card["side"])
    rows = np.random.default_rng(0).permutation(split.train)[:CALIBRATION_FACES]
    examples = augmentation.crop(faces.images[rows], card["side"])
    examples = augmentation.normalise(examples, card["normalisation"])
    content, integers = onnx_export.export(model, examples)
    counts = np.bincount(faces.labels[split.train], minlength=len(faces.class_names))
    card |= {
        "class_names": list(faces.class_names),
        "name": target.stem,
        "data": faces.origin,
        "parameters": model.count_params(),
        "multiply_adds": registry.multiply_adds(model),
        "provenance": artifacts.provenance(),
        "bytes": len(content),
        "shares": dict(zip(faces.class_names, map(_short, counts / counts.sum()), strict=True)),
    }
    made = {"float32": content, "int8": integers}
    networks = {how: inference.from_bytes(target.name, made[how], card, how) for how in made}
    card["precisions"] = {how: measure(one, faces, split) for how, one in networks.items()}
    card |= priors(networks["int8"], faces.select(split.validation))
    artifacts.write_atomically(target, content)
    artifacts.write_atomically(target.with_name(f"{target.stem}_int8.onnx"), integers)
    artifacts.write_json(target.with_suffix(".json"), card)
    return artifacts.write_atomically(target.with_name("MODEL_CARD.md"), markdown(card))


def measure(network: inference.Network, faces: Faces, split: splits.Partition) -> dict:
    """Temperature, tau, accuracy, calibration and speed of a network, by number of views; 0..1."""
    views = {str(k): _of_views(network, k, faces, split) for k in augmentation.VIEWS}
    return views.pop("1") | {"faces_per_second": speed(network, faces.images), "views": views}


def _of_views(network: inference.Network, views: int, faces: Faces, split) -> dict:
    network = inference.fitted(network, views, "fer2013")
    parts = {"validation": split.validation, "test": split.test}
    parts["test_deduplicated"] = split.test[splits.deduplicated_test(faces, split)]
    raw = {part: network.untempered(faces.images[where]) for part, where in parts.items()}
    labels = {part: faces.labels[where].astype(int) for part, where in parts.items()}
    # 8 bits make 0 of what is less than half a step; one such face must not decide
    logits = np.log(np.maximum(raw["validation"], 1 / 512))
    temperature = metrics.temperature(logits, labels["validation"])
    calibrated = {part: inference.calibrated(found, temperature) for part, found in raw.items()}
    scores: dict = {"temperature": _short(temperature)}
    for part, found in calibrated.items():
        error = metrics.calibration_error(raw[part], labels[part])
        scores[part] = scored(found, labels[part], faces.class_names)
        scores[part]["calibration_error_without_temperature"] = _short(error)
    shares = np.maximum([network.card["shares"][name] for name in faces.class_names], 1e-6)
    return scores | {"tau": fitted_tau(calibrated["validation"], labels["validation"], shares)}


def fitted_tau(probabilities: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> float:
    """The power of the classes' `shares` to divide by that has the highest macro-recall, of those
    that cost at most `ACCURACY_FOR_RECALL` of the accuracy."""
    found = [inference.calibrated(probabilities, 1.0, shares**-tau).argmax(1) for tau in TAUS]
    matrices = np.stack([metrics.confusion(labels, one, len(shares)) for one in found])
    accuracies, recalls = metrics.accuracy(matrices), metrics.recall(matrices).mean(axis=1)
    allowed = accuracies >= accuracies[0] - ACCURACY_FOR_RECALL
    return float(TAUS[np.where(allowed, recalls, -1).argmax()])


def priors(network: inference.Network, faces: Faces) -> dict:
    """Scores of each prior on validation faces; default is that of the higher macro-recall."""
    raw = inference.fitted(network, DEFAULT_VIEWS, "fer2013").untempered(faces.images)
    found = {}
    for prior in inference.PRIORS:
        one = inference.fitted(network, DEFAULT_VIEWS, prior)
        probabilities = inference.calibrated(raw, one.temperature, one.weights)
        found[prior] = scored(probabilities, faces.labels.astype(int), network.class_names)
    return {"prior": max(found, key=lambda prior: found[prior]["macro_recall"]), "priors": found}


def scored(probabilities: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> dict:
    """Accuracy, F1, precision, recall with 95 % intervals, calibration error, 0..1; by class."""
    matrix = metrics.confusion(labels, probabilities.argmax(1), len(class_names))
    found = metrics.scores(matrix)
    found["macro_recall"] = found.pop("recall")
    found["calibration_error"] = metrics.calibration_error(probabilities, labels)
    shares = ["recall", "recall_low", "recall_high", "precision"]
    recall = metrics.by_class(matrix, class_names).set_index("class")[["n", *shares]]
    recall[shares] = (recall[shares] / 100).round(4)
    rounded = {name: _short(value) for name, value in found.items()}
    return {"n": len(labels), **rounded, "by_class": recall.to_dict("index")}


def speed(network: inference.Network, images: np.ndarray, calls: int = 50) -> dict:
    """Faces a second from crops to probabilities, singly and by 64: the best of repeated calls."""
    rates = {}
    for batch in (1, 64):
        shown = images[:batch]
        seconds = timeit.repeat(lambda: network.probabilities(shown), number=1, repeat=calls)  # noqa: B023
        rates[str(batch)] = round(len(shown) / min(seconds))
    return rates


def markdown(card: dict) -> str:
    """MODEL_CARD.md: the card in words and tables."""
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), trim_blocks=True)
    return template.render(card, default_views=DEFAULT_VIEWS) + "\n"


def _short(value: float) -> float:
    return round(float(value), 4)
