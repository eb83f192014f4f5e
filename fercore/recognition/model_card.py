"""A trained network made ready for others: exported, calibrated, measured, described. Every number
is computed here.

`write` leaves NAME.onnx (weights in float16), NAME.json, the card that `inference` reads, with the
ranges by which it makes 8-bit integers of the weights, and MODEL_CARD.md, the same for people.
"""

import time
from pathlib import Path

import numpy as np
from scipy import optimize

from fercore import artifacts
from fercore.data import augmentation, splits
from fercore.data.faces import DatasetError, Faces
from fercore.evaluation import metrics
from fercore.models import onnx_export, quantisation, registry
from fercore.recognition import inference
from fercore.training import trainer

CALIBRATION_FACES = (
    512  # training faces that show the ranges of 8-bit numbers, and on which the formats must agree
)


def write(model_file: Path, target: Path, faces: Faces) -> dict:
    """Export a .keras file of the study as `target` (NAME.onnx) with its card; return the card.

    The temperature is fitted on validation faces, the test faces are only scored. Raises
    `DatasetError` for faces other than FER2013, `TrainingError`, `ModelError` or `ExportError` for
    a network that cannot be used. Nothing is written before all has been computed.
    """
    if target.suffix != ".onnx":
        raise inference.ModelError(f"{target}: name the target NAME.onnx")
    if not faces.is_fer2013:
        raise DatasetError(
            f"{faces.origin}: a model card needs FER2013 itself; give it by --data or FER2013"
        )
    described = inference.describe(Path(model_file))
    faces, split = splits.prepare(faces, described["split"])
    model = trainer.load_model(model_file, len(faces.class_names))
    described = (
        {"side": model.inputs[0].shape[1]} | described | {"class_names": list(faces.class_names)}
    )
    examples = _seen(faces, split, described)
    content = onnx_export.export(model, examples)
    card = (
        described
        | _about(model, target.stem, faces)
        | {"bytes": len(content), "ranges": quantisation.ranges(content, examples)}
    )
    card["precisions"] = {
        precision: measure(
            inference.from_bytes(target.name, content, card, precision), faces, split
        )
        for precision in reversed(inference.PRECISIONS)
    }
    artifacts.write_atomically(target, content)
    artifacts.write_json(target.with_suffix(".json"), card)
    artifacts.write_atomically(target.with_name("MODEL_CARD.md"), markdown(card))
    return card


def measure(network: inference.Network, faces: Faces, split: splits.Partition) -> dict:
    """Temperature (fitted on validation faces), and accuracy, calibration and speed of a network;
    shares in 0..1."""
    raw = {
        part: network.untempered(faces.images[getattr(split, part)])
        for part in ("validation", "test")
    }
    labels = {part: faces.labels[getattr(split, part)].astype(int) for part in raw}
    temperature = fitted_temperature(raw["validation"], labels["validation"])
    calibrated = {part: inference.calibrated(raw[part], temperature) for part in raw}
    unseen = splits.deduplicated_test(faces, split)
    scores = {part: scored(calibrated[part], labels[part], faces.class_names) for part in raw}
    scores["test_deduplicated"] = scored(
        calibrated["test"][unseen], labels["test"][unseen], faces.class_names
    )
    for part in raw:
        scores[part]["calibration_error_without_temperature"] = _short(
            metrics.calibration_error(raw[part], labels[part])
        )
    views = {
        str(views): _of_views(inference.fitted(network, views), faces, split)
        for views in augmentation.VIEWS[1:]
    }
    return (
        {"temperature": _short(temperature)}
        | scores
        | {"faces_per_second": speed(network, faces.images), "views": views}
    )


def _of_views(network: inference.Network, faces: Faces, split: splits.Partition) -> dict:
    """Temperature and accuracies of a network that averages views."""
    raw = {
        part: network.untempered(faces.images[getattr(split, part)])
        for part in ("validation", "test")
    }
    labels = {part: faces.labels[getattr(split, part)].astype(int) for part in raw}
    temperature = fitted_temperature(raw["validation"], labels["validation"])
    chosen = ("n", "accuracy", "accuracy_low", "accuracy_high", "calibration_error")
    scores = {
        part: scored(inference.calibrated(raw[part], temperature), labels[part], faces.class_names)
        for part in raw
    }
    return {"temperature": _short(temperature)} | {
        part: {name: values[name] for name in chosen} for part, values in scores.items()
    }


def fitted_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least negative log likelihood of the labels (Guo et al. 2017,
    section 4.2)."""

    def loss(logarithm: float) -> float:
        given = inference.calibrated(probabilities, np.exp(logarithm))[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(given, 1e-12)).mean())

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def scored(probabilities: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> dict:
    """Accuracy with its 95 % interval (bootstrap over faces), macro-F1, calibration error and
    recall by class, 0..1."""
    matrix = metrics.confusion(labels, probabilities.argmax(1), len(class_names))
    low, high = metrics.accuracy_interval(matrix)
    by_class = metrics.by_class(matrix, class_names)
    recall = {
        row["class"]: {
            "n": int(row["n"]),
            **{
                name: _short(row[name] / 100)
                for name in ("recall", "recall_low", "recall_high", "precision")
            },
        }
        for row in by_class.to_dict("records")
    }
    return {
        "n": len(labels),
        "accuracy": _short(metrics.accuracy(matrix)),
        "accuracy_low": _short(low),
        "accuracy_high": _short(high),
        "macro_f1": _short(metrics.macro_f1(matrix)),
        "calibration_error": _short(metrics.calibration_error(probabilities, labels)),
        "by_class": recall,
    }


def speed(network: inference.Network, images: np.ndarray, seconds: float = 2.0) -> dict:
    """Faces a second from crops to probabilities, one by one and 64 at a time: the best of repeated
    calls."""
    return {str(batch): round(_best_rate(network, images[:batch], seconds)) for batch in (1, 64)}


def markdown(card: dict) -> str:
    """MODEL_CARD.md: the card in words and tables."""
    names = list(card["precisions"])
    first = card["precisions"][names[0]]
    return TEXT.format(
        **{key: card[key] for key in ("name", "network", "split", "data")},
        classes=", ".join(card["class_names"]),
        parameters=f"{card['parameters']:,}",
        side=card["side"],
        macs=f"{card['multiply_adds'] / 1e6:.0f}",
        epochs=card["training"].get("epochs", "unknown"),
        megabytes=card["bytes"] / 1e6,
        seed=card["training"].get("seed", "unknown"),
        teachers=_teachers(card),
        accuracies=_accuracies(card),
        views=_views(card),
        recalls=_recalls(first["test"]),
        precision=names[0],
        processor=card["provenance"]["processor"],
        cores=card["provenance"]["cores"],
    )


def _teachers(card: dict) -> str:
    names = [f"`{name}`" for name in card["training"].get("teachers", ())]
    return (
        f" on labels softened by what {', '.join(names)} say of the training faces" if names else ""
    )


def summary(card: dict) -> str:
    """The card in two lines."""
    return "\n".join(
        f"{card['name']}, {name}: {v['validation']['accuracy']:.2%} of validation and "
        f"{v['test']['accuracy']:.2%} of test faces"
        for name, v in card["precisions"].items()
    )


def _seen(faces: Faces, split: splits.Partition, described: dict) -> np.ndarray:
    """Training faces as the network sees them, float32 [n, side, side, 1]."""
    rows = np.random.default_rng(0).permutation(split.train)[:CALIBRATION_FACES]
    images = augmentation.crop(faces.images[rows], described["side"])
    return augmentation.normalise(images, described["normalisation"])


def _about(model, name: str, faces: Faces) -> dict:
    return {
        "name": name,
        "data": faces.origin,
        "parameters": model.count_params(),
        "multiply_adds": registry.multiply_adds(model),
        "provenance": artifacts.provenance(),
    }


def _best_rate(network: inference.Network, images: np.ndarray, seconds: float) -> float:
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        network.probabilities(images)
        best = min(best, time.perf_counter() - start)
    return len(images) / best


def _accuracies(card: dict) -> str:
    head = (
        "| arithmetic | temperature | validation | test | test, copies removed | macro-F1 | calibration error, "
        "without temperature | faces/s, one by one | by 64 |\n" + "| --- " * 9 + "|\n"
    )
    return head + "\n".join(
        _accuracy_row(name, values) for name, values in card["precisions"].items()
    )


def _views(card: dict) -> str:
    """Accuracies of averaged views, in a sentence each."""
    return "\n".join(
        f"- {views} views of each face averaged (`views={views}`), {name}: "
        f"validation {_percent(values['validation'])}, test {_percent(values['test'])}; {views} times the time."
        for name, measured in card["precisions"].items()
        for views, values in measured["views"].items()
    )


def _percent(scores: dict) -> str:
    return f"{scores['accuracy']:.1%} [{scores['accuracy_low']:.1%}, {scores['accuracy_high']:.1%}]"


def _accuracy_row(name: str, values: dict) -> str:
    test, rates = values["test"], values["faces_per_second"]
    cells = [
        name,
        f"{values['temperature']:.2f}",
        _percent(values["validation"]),
        _percent(test),
        _percent(values["test_deduplicated"]),
        f"{test['macro_f1']:.1%}",
        f"{test['calibration_error']:.1%}, {test['calibration_error_without_temperature']:.1%}",
        f"{rates['1']:,}",
        f"{rates['64']:,}",
    ]
    return f"| {' | '.join(cells)} |"


def _recalls(scores: dict) -> str:
    rows = [
        f"| {name} | {v['n']} | {v['recall']:.0%} [{v['recall_low']:.0%}, {v['recall_high']:.0%}] | "
        f"{v['precision']:.0%} |"
        for name, v in scores["by_class"].items()
    ]
    return "| expression | faces | recall | precision |\n| --- | --- | --- | --- |\n" + "\n".join(
        rows
    )


def _short(value: float) -> float:
    return round(float(value), 4)


TEXT = """# Model card: {name}

The network `{network}` of this study, trained on FER2013: {parameters} parameters, {macs} M multiply-adds a face. It
takes a gray face of 48×48 pixels ({side}×{side} of them from its middle) and gives probabilities of
{classes}.
This page is written by `python -m fercore export`, all its numbers are computed by it, and `{name}.json` holds the same
for programs.

## Data and split

Data: {data}. Split: `{split}`;
trained for {epochs} epochs with seed {seed}{teachers}, the epoch and all settings chosen on
validation faces. Test faces were only scored. 'Copies removed' leaves out test faces that have an exact copy in
training or validation. Intervals are 95 %, by bootstrap over faces. They hold for faces like those of FER2013, cut out
as those are, not for faces at large.

## Accuracy, calibration, speed

{accuracies}

{views}

The weights lie in `{name}.onnx`, {megabytes:.1f} MB in float16; int8 is made of them when the network is first used, by
ranges that training faces showed. Temperature divides the logits; it was fitted on validation faces so that, among
faces told with 80 %, about 80 % are labelled so. Calibration error is the mean distance between confidence and accuracy
on test faces, in 15 bins. Speed was measured on {processor}, {cores} cores, from the crop to the probabilities, at
best; other work on the machine slows it.

Test faces by expression ({precision}):

{recalls}

## Intended use

Study and teaching: trying what such a network sees, comparing it with others, reading its errors. Pictures are
processed where the program runs and are not stored.

## Not for

Judging, hiring, grading, policing, selling to or treating people, or guessing at truthfulness, health or character. In
the European Union the AI Act forbids inferring emotions at work and in schools. A label of FER2013 says which word an
image search was given and what few people agreed to see in one picture; it does not say what a person feels.

## Limits

- Of FER+'s voters one agrees with FER2013's label in 56 % of the cases, their majority, where there is one, in 67 %: a
  confident answer may still be a label that others would not give.
- Ages, skins, cultures and conditions are unevenly represented and not annotated: nobody can tell from these numbers
  for whom it works less well.
- Faces from the side, covered, very small, or cut otherwise than FER2013's are told less well. Disgust has few
  examples.
- It always names an expression, also for what is no face: the detector's mistakes become answers.
"""
