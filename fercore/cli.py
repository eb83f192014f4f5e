"""Commands behind run_all.sh and those of the recogniser: fercore COMMAND."""

import argparse
import json
import sys
from pathlib import Path

from fercore import paths


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a mistake of the user's is one line, exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_args(arguments[:end])
    options.snakemake = arguments[end + 1 :]
    try:
        if options.run in STUDY:
            paths.check_clone()
        return options.run(options) or 0
    except ValueError as error:
        _tell(error)
    except ModuleNotFoundError as error:
        _tell(f"{error.name} is not installed; pip install 'fercore[study]' brings it")
    except KeyboardInterrupt:
        _tell("interrupted")
        return 130
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _tell(f"{place}{error.strerror or error}")
    return 2


def _tell(mistake: object) -> None:
    from fercore import artifacts

    print(f"fercore: {artifacts.printable(mistake, 600)}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fercore", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    run = _command(commands, "run", _run, "run a profile; options of Snakemake go behind --")
    run.add_argument("profile", nargs="?", help="default: quick with FER2013, else rederived")
    run.add_argument("--cores", type=int, default=None)
    run.add_argument("--force", action="store_true")
    run.add_argument("--dry-run", action="store_true")
    _command(
        commands,
        "execute",
        _execute,
        "a notebook, executed and exported",
        "profile",
        "notebook",
        "executed",
        "target",
        "parameters",
    )
    _command(commands, "index", _index, "the index page of a run", "profile")
    _command(
        commands,
        "renew",
        _renew,
        "ask the trained models of a run again where `views` changed",
        "profile",
    )
    _command(
        commands, "publish", _publish, "copy a run on FER2013 into outputs/published", "profile"
    )
    _command(
        commands, "documents", _documents, "write the results into README.md and docs/results.md"
    )
    _recognition(commands)
    _own_pictures(commands)
    return parser


def _recognition(commands) -> None:
    """The commands of the recogniser."""
    recognise = _command(
        commands, "recognise", _recognise, "expressions in pictures, folders or a video"
    )
    recognise.add_argument(
        "paths", nargs="+", metavar="path", help="pictures and folders, or one video"
    )
    recognise.add_argument("--out", help="file to write; for several annotated pictures, a folder")
    recognise.add_argument(
        "--format", help="csv, json, png; of a video mp4; default: by the name of --out"
    )
    _recogniser_options(recognise)
    camera = _command(commands, "camera", _camera, "expressions live, in a window; q quits")
    _recogniser_options(camera)
    camera.add_argument(
        "--device", default="0", help="number of the camera, or a video's file or address"
    )
    export = _command(
        commands,
        "export",
        _export,
        "a trained network as ONNX with its model card",
        "model",
        "target",
    )
    export.add_argument(
        "--data", help="FER2013, a file or a folder; default: where it is usually looked for"
    )


def _recogniser_options(parser: argparse.ArgumentParser) -> None:
    """Network and detector, as `command.recogniser` reads them."""
    add = parser.add_argument
    add("--model", default="compact", help="a name, or a file .onnx or .keras")
    add(
        "--detector",
        help="yunet, haar, whole, a cascade file .xml or YuNet's file .onnx; default: yunet, or "
        "haar where YuNet's model is not there",
    )
    add("--classes", help="what a .keras file of one's own predicts, in its order, by commas")
    add("--margin", type=float, help="share of a box's side to add on each side")
    add("--precision", choices=["int8", "float32"], help="arithmetic; default: int8")
    add("--views", type=int, default=2, help="of each face to average: 1, 2 or 10; more is slower")
    add(
        "--prior",
        help="how common the expressions are: fer2013, uniform, or NAME=SHARE,...; default: what "
        "the model's card recommends",
    )


def _own_pictures(commands) -> None:
    """The command that makes a data set."""
    dataset = _command(
        commands, "dataset", _dataset, "a data set of one's own pictures", "folder", "target"
    )
    dataset.description = (
        "folder: a subfolder of pictures for each class; target: the folder to write, which any "
        "notebook and run_all.sh take as data"
    )
    dataset.add_argument(
        "--faces",
        default="haar",
        help="yunet, haar, a file .xml or .onnx; whole: pictures are faces",
    )
    dataset.add_argument(
        "--classes",
        help="names of the subfolders to use, by commas; default: those in FOLDER's "
        "classes.txt, else FER2013's seven",
    )
    dataset.add_argument(
        "--split", type=float, nargs=3, default=(80, 10, 10), metavar=("TRAIN", "VAL", "TEST")
    )
    dataset.add_argument("--seed", type=int, default=0, help="which pictures go where")


def _command(commands, name: str, function, text: str, *arguments: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text)
    parser.set_defaults(run=function)
    for argument in arguments:
        parser.add_argument(argument)
    return parser


def _run(options: argparse.Namespace) -> int:
    from fercore import machine
    from fercore.workflow import run

    return run.run(
        options.profile or run.default(),
        cores=options.cores or machine.cores(),
        force=options.force,
        dry_run=options.dry_run,
        extra=options.snakemake,
    )


def _execute(options: argparse.Namespace) -> int:
    # jsonschema's parser of addresses takes most of the start, and no notebook's format needs it
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    from fercore.workflow import execute

    return execute.execute(
        options.profile,
        options.notebook,
        options.executed,
        options.target,
        json.loads(options.parameters),
    )


def _index(options: argparse.Namespace) -> None:
    from fercore.workflow import pages

    pages.index(options.profile)


def _renew(options: argparse.Namespace) -> None:
    from fercore.training import runs

    found = runs.outdated(options.profile)
    for key in found:
        runs.renew(options.profile, *key)
        print("predicted again:", *key, flush=True)
    if not found:
        print(f"outputs/{options.profile}: no model has to predict again")


def _publish(options: argparse.Namespace) -> None:
    from fercore.workflow import publish

    print(publish.publish(options.profile))


def _documents(options: argparse.Namespace) -> None:
    from fercore.workflow import documents

    print(*documents.update_documents(), sep="\n")


def _recognise(options: argparse.Namespace) -> int:
    from fercore.recognition import command

    return command.run(options)


def _camera(options: argparse.Namespace) -> None:
    from fercore.recognition import command, video

    video.check_windows()
    video.show(command.recogniser(options), options.device)


def _export(options: argparse.Namespace) -> None:
    from fercore.data import datasets
    from fercore.recognition import model_card

    print(
        model_card.summary(
            model_card.write(Path(options.model), Path(options.target), datasets.load(options.data))
        )
    )


def _dataset(options: argparse.Namespace) -> None:
    from fercore.data import image_folders
    from fercore.recognition import detection, recogniser

    detector = detection.detector(options.faces)

    def largest_face(rgb):
        boxes, _ = detector.detect(rgb)
        largest = max(boxes, key=lambda box: box[2] * box[3], default=None)
        margin = getattr(detector, "margin", 0.0)
        return None if largest is None else recogniser.crop(rgb, largest, margin)

    made = image_folders.make(
        options.folder,
        options.target,
        largest_face,
        classes=options.classes.split(",") if options.classes else None,
        split=options.split,
        seed=options.seed,
    )
    print(f"{'':12} {'train':>6} {'val':>6} {'test':>6}")
    for name, numbers in made.counts.items():
        print(f"{name:12}", *(f"{number:6}" for number in numbers))
    for picture, problem in made.problems:
        print(f"left out: {picture}: {problem}".encode(errors="replace").decode())
    total = sum(map(sum, made.counts.values()))
    print(f"{total} faces written to {made.folder}; look through them, then give it as data")


STUDY = (_run, _execute, _index, _renew, _publish, _documents)  # need a clone
