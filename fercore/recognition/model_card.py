"""A trained network made ready for others: exported, calibrated, measured, described. Every number
is computed here.

`write` leaves NAME.onnx (weights in float16), NAME_int8.onnx (8-bit integers), NAME.json, the card
that `inference` reads, and MODEL_CARD.md, the same for people.
"""

import time
from pathlib import Path

import numpy as np

from fercore import artifacts
from fercore.data import augmentation, splits
from fercore.data.faces import SIDE, DatasetError, Faces
from fercore.evaluation import metrics
from fercore.models import onnx_export, registry
from fercore.recognition import inference, keras_files
from fercore.training import loading

CALIBRATION_FACES = 512  # training faces that show the ranges of 8-bit numbers
TAUS = np.round(np.arange(0, 1.01, 0.05), 2)
ACCURACY_FOR_RECALL = 0.003  # what the default prior may cost on validation faces
DEFAULT_VIEWS = 2  # as the recogniser's
TEMPLATE = Path(__file__).with_name("model_card.md")


def write(model_file: Path, target: Path, faces: Faces) -> dict:
    """Export a .keras file of the study as `target` (NAME.onnx) with its card; return the card.

    Temperature, tau and the default prior are fitted on validation faces, the test faces are only
    scored. Raises `DatasetError` for faces other than FER2013, `TrainingError`, `ModelError` or
    `ExportError` for a network that cannot be used. Nothing is written before all has been
    computed.
    """
    if target.suffix != ".onnx":
        raise inference.ModelError(f"{artifacts.printable(target)}: name the target NAME.onnx")
    if not faces.is_fer2013:
        raise DatasetError(
            f"{faces.origin}: a model card needs FER2013 itself; give it by --data or FER2013"
        )
    card = keras_files.describe(Path(model_file))
    if "split" not in card:
        raise inference.ModelError(
            f"{artifacts.printable(model_file)}: no record of its training; give a model of a run, "
            "where it lies (outputs/PROFILE/models/SPLIT/NETWORK/seed0.keras)"
        )
    faces, split = splits.prepare(faces, card["split"])
    model = loading.load(model_file, faces.class_names, side=card.get("side", SIDE))
    card = {"side": model.inputs[0].shape[1]} | card | {"class_names": list(faces.class_names)}
    examples = _seen(faces, split, card)
    content, integers = onnx_export.export(model, examples)
    card |= {
        "name": target.stem,
        "data": faces.origin,
        "parameters": model.count_params(),
        "multiply_adds": registry.multiply_adds(model),
        "provenance": artifacts.provenance(),
        "bytes": len(content),
        "shares": shares(faces, split),
    }
    networks = {
        precision: inference.from_bytes(target.name, made, card, precision)
        for precision, made in (("float32", content), ("int8", integers))
    }
    card["precisions"] = {name: measure(one, faces, split) for name, one in networks.items()}
    validation = faces.images[split.validation], faces.labels[split.validation]
    card |= on_validation(networks["int8"], *validation)
    artifacts.write_atomically(target, content)
    artifacts.write_atomically(target.with_name(f"{target.stem}_int8.onnx"), integers)
    artifacts.write_json(target.with_suffix(".json"), card)
    artifacts.write_atomically(target.with_name("MODEL_CARD.md"), markdown(card))
    return card


def measure(network: inference.Network, faces: Faces, split: splits.Partition) -> dict:
    """Temperature and tau (fitted on validation faces), accuracy, calibration and speed of a
    network, by the number of views; shares in 0..1."""
    one, *averaged = (_of_views(network, views, faces, split) for views in augmentation.VIEWS)
    chosen = ("n", "accuracy", "accuracy_low", "accuracy_high", "calibration_error")
    for scores in averaged:
        for part in ("validation", "test"):
            scores[part] = {name: scores[part][name] for name in chosen}
        del scores["test_deduplicated"]
    views = dict(zip(map(str, augmentation.VIEWS[1:]), averaged, strict=True))
    return one | {"faces_per_second": speed(network, faces.images), "views": views}


def _of_views(
    network: inference.Network, views: int, faces: Faces, split: splits.Partition
) -> dict:
    network = inference.fitted(network, views, "fer2013")
    parts = {"validation": split.validation, "test": split.test}
    raw = {part: network.untempered(faces.images[where]) for part, where in parts.items()}
    labels = {part: faces.labels[where].astype(int) for part, where in parts.items()}
    logits = np.log(np.maximum(raw["validation"], 1e-30))
    temperature = metrics.temperature(logits, labels["validation"])
    calibrated = {part: inference.calibrated(raw[part], temperature) for part in parts}
    scores = {part: scored(calibrated[part], labels[part], faces.class_names) for part in parts}
    for part in parts:
        error = metrics.calibration_error(raw[part], labels[part])
        scores[part]["calibration_error_without_temperature"] = _short(error)
    unseen = splits.deduplicated_test(faces, split)
    scores["test_deduplicated"] = scored(
        calibrated["test"][unseen], labels["test"][unseen], faces.class_names
    )
    training = np.array([network.card["shares"][name] for name in faces.class_names])
    tau = fitted_tau(calibrated["validation"], labels["validation"], np.maximum(training, 1e-6))
    return {"temperature": _short(temperature), "tau": tau} | scores


def fitted_tau(probabilities: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> float:
    """The power of the classes' `shares` to divide by: that of the highest macro-recall, of those
    that cost at most `ACCURACY_FOR_RECALL` of the accuracy."""
    found = [
        _shares_right(inference.calibrated(probabilities, 1.0, shares**-tau), labels)
        for tau in TAUS
    ]
    allowed = [
        k for k, (right, _) in enumerate(found) if right >= found[0][0] - ACCURACY_FOR_RECALL
    ]
    return float(TAUS[max(allowed, key=lambda k: found[k][1])])


def on_validation(network: inference.Network, images: np.ndarray, labels: np.ndarray) -> dict:
    """What a card says of each prior, measured on validation faces as the recogniser sees them by
    default, and the default prior: that of the higher macro-recall."""
    network = inference.fitted(network, DEFAULT_VIEWS, "fer2013")
    raw, labels, priors = network.untempered(images), labels.astype(int), {}
    for prior in inference.PRIORS:
        one = inference.fitted(network, DEFAULT_VIEWS, prior)
        probabilities = inference.calibrated(raw, one.temperature, one.weights)
        priors[prior] = scored(probabilities, labels, network.class_names)
        priors[prior]["macro_recall"] = _short(_shares_right(probabilities, labels)[1])
    best = max(priors, key=lambda prior: priors[prior]["macro_recall"])
    return {"prior": best, "priors": priors}


def scored(probabilities: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> dict:
    """Accuracy with its 95 % interval (bootstrap over faces), macro-F1, calibration error and
    recall by class, 0..1."""
    matrix = metrics.confusion(labels, probabilities.argmax(1), len(class_names))
    low, high = metrics.accuracy_interval(matrix)
    kept = ("recall", "recall_low", "recall_high", "precision")
    recall = {
        row["class"]: {"n": int(row["n"]), **{name: _short(row[name] / 100) for name in kept}}
        for row in metrics.by_class(matrix, class_names).to_dict("records")
    }
    return {
        "n": len(labels),
        "accuracy": _short(metrics.accuracy(matrix)),
        "accuracy_low": _short(low),
        "accuracy_high": _short(high),
        "macro_f1": _short(metrics.class_scores(matrix)[2].mean()),
        "calibration_error": _short(metrics.calibration_error(probabilities, labels)),
        "by_class": recall,
    }


def speed(network: inference.Network, images: np.ndarray, seconds: float = 2.0) -> dict:
    """Faces a second from crops to probabilities, one by one and 64 at a time: the best of repeated
    calls."""
    rates = {}
    for batch in (1, 64):
        best, end = np.inf, time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            network.probabilities(images[:batch])
            best = min(best, time.perf_counter() - start)
        rates[str(batch)] = round(len(images[:batch]) / best)
    return rates


def markdown(card: dict) -> str:
    """MODEL_CARD.md: the card in words and tables."""
    teachers = ", ".join(f"`{name}`" for name in card["training"].get("teachers", ()))
    precisions, about = card["precisions"], card["provenance"]
    first = next(iter(precisions))
    return TEMPLATE.read_text(encoding="utf-8").format(
        **{key: card[key] for key in ("name", "network", "split", "data", "side", "prior")},
        classes=", ".join(card["class_names"]),
        parameters=f"{card['parameters']:,}",
        macs=f"{card['multiply_adds'] / 1e6:.0f}",
        epochs=card["training"].get("epochs", "unknown"),
        megabytes=f"{card['bytes'] / 1e6:.1f}",
        seed=card["training"].get("seed", "unknown"),
        teachers=f" on soft targets of {teachers}" if teachers else "",
        accuracies="\n".join(_accuracy_row(*item) for item in precisions.items()),
        views="\n".join(
            f"| {name} | {views} | {_percent(values['validation'])} | {_percent(values['test'])} |"
            for name, measured in precisions.items()
            for views, values in measured["views"].items()
        ),
        recalls="\n".join(
            _recall_row(*one) for one in precisions[first]["test"]["by_class"].items()
        ),
        precision=first,
        processor=about["processor"],
        cores=about["cores"],
        tau=precisions["int8"]["views"][str(DEFAULT_VIEWS)]["tau"],
        default_views=DEFAULT_VIEWS,
        priors=prior_table(card),
        robustness=robustness_table(card),
    )


def prior_table(card: dict) -> str:
    """Accuracy, macro-recall, calibration and recall by class of each prior, in Markdown."""
    names, priors = card["class_names"], card["priors"]
    return "\n".join(
        [
            f"| prior | accuracy | macro-recall | calibration error | {' | '.join(names)} |",
            "| --- " * (4 + len(names)) + "|",
            *(
                f"| {prior} | {_percent(scores)} | {scores['macro_recall']:.1%} | "
                f"{scores['calibration_error']:.1%} | "
                + " | ".join(f"{scores['by_class'][name]['recall']:.0%}" for name in names)
                + " |"
                for prior, scores in priors.items()
            ),
        ]
    )


def robustness_table(card: dict) -> str:
    """Accuracy of changed faces, and points lost, as benchmarks/robustness.py measures them, in
    Markdown."""
    if "robustness" not in card:
        return "Not measured yet: `benchmarks/robustness.py` does."
    whole = card["robustness"]["as they are"]
    return "\n".join(
        [
            "| faces | accuracy | points |\n| --- | --- | --- |",
            *(
                f"| {name} | {value:.1%} | {100 * (value - whole):+.1f} |"
                for name, value in card["robustness"].items()
            ),
        ]
    )


def summary(card: dict) -> str:
    """The card in two lines."""
    return "\n".join(
        f"{card['name']}, {name}: {v['validation']['accuracy']:.2%} of validation and "
        f"{v['test']['accuracy']:.2%} of test faces"
        for name, v in card["precisions"].items()
    )


def shares(faces: Faces, split: splits.Partition) -> dict[str, float]:
    """The share of each class among the training faces."""
    counts = np.bincount(faces.labels[split.train], minlength=len(faces.class_names))
    return dict(zip(faces.class_names, map(_short, counts / counts.sum()), strict=True))


def _seen(faces: Faces, split: splits.Partition, card: dict) -> np.ndarray:
    """Training faces as the network sees them, float32 [n, side, side, 1]."""
    rows = np.random.default_rng(0).permutation(split.train)[:CALIBRATION_FACES]
    images = augmentation.crop(faces.images[rows], card["side"])
    return augmentation.normalise(images, card["normalisation"])


def _shares_right(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Accuracy and macro-recall, 0..1."""
    right = probabilities.argmax(1) == labels
    return float(right.mean()), float(np.mean([right[labels == k].mean() for k in set(labels)]))


def _percent(scores: dict) -> str:
    return f"{scores['accuracy']:.1%} [{scores['accuracy_low']:.1%}, {scores['accuracy_high']:.1%}]"


def _accuracy_row(name: str, values: dict) -> str:
    test, rates = values["test"], values["faces_per_second"]
    accuracies = (_percent(values[part]) for part in ("validation", "test", "test_deduplicated"))
    errors = test["calibration_error"], test["calibration_error_without_temperature"]
    return (
        f"| {name} | {values['temperature']:.2f} | {' | '.join(accuracies)} | "
        f"{test['macro_f1']:.1%} | {errors[0]:.1%}, {errors[1]:.1%} | {rates['1']:,} | "
        f"{rates['64']:,} |"
    )


def _recall_row(name: str, values: dict) -> str:
    low, high = values["recall_low"], values["recall_high"]
    recall = f"{values['recall']:.0%} [{low:.0%}, {high:.0%}]"
    return f"| {name} | {values['n']} | {recall} | {values['precision']:.0%} |"


def _short(value: float | np.ndarray) -> float:
    return round(float(value), 4)
