"""Commands behind run_all.sh and those of the recogniser: fercore COMMAND."""

import json
import os
import sys
import warnings
from argparse import ArgumentParser, Namespace
from pathlib import Path

from fercore import artifacts, paths
from fercore.config import DEFAULT_VIEWS

STUDY = ("run", "execute", "index", "publish", "documents")  # need a clone


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a mistake of the user's is one line, exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    ours = arguments[:1] != ["run"] or "--" not in arguments
    end = len(arguments) if ours else arguments.index("--")
    options = _parser().parse_args(arguments[:end])
    options.snakemake, status = arguments[end + 1 :], 2
    try:
        if options.command not in STUDY:
            with warnings.catch_warnings():
                warnings.simplefilter("always", UserWarning)
                warnings.showwarning = artifacts.say
                return _recogniser(options)
        if not paths.IN_CLONE:
            raise ValueError("pip brings only the recogniser: clone the study and use ./run_all.sh")
        return _study(options)
    except KeyboardInterrupt:
        mistake, status = "interrupted", 130
    except ModuleNotFoundError as error:
        mistake = f"{error.name} is not installed; pip install 'fercore[study]' brings it"
    except BrokenPipeError:  # as `| head` ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:
        mistake = (f"{error.filename}: " if error.filename else "") + (error.strerror or str(error))
    except (ImportError, ValueError, RuntimeError, TypeError) as error:
        mistake = str(error)
    artifacts.say(artifacts.printable(mistake, 600))
    return status


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="fercore", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")

    def command(name: str, what: str, *arguments: str) -> ArgumentParser:
        one = commands.add_parser(name, help=what, description=what)
        for argument in arguments:
            one.add_argument(argument)
        return one

    run = command("run", "run a profile; options of Snakemake go after --")
    run.add_argument("profile", nargs="?", help="default: by the data at hand")
    run.add_argument("--cores", type=int, default=artifacts.cores())
    run.add_argument("--force", action="store_true")
    run.add_argument("--dry-run", action="store_true")
    files = "profile", "notebook", "executed", "target"
    execute = command("execute", "a notebook, executed and exported", *files)
    execute.add_argument("parameters", type=json.loads)
    command("index", "the index page of a run", "profile")
    command("publish", "copy a run on FER2013 into outputs/published", "profile")
    command("documents", "write the results into README.md and docs/results.md")
    recognise = command("recognise", "expressions in pictures, folders or a video")
    add = recognise.add_argument
    add("paths", nargs="+", metavar="path", help="pictures and folders, or one video")
    add("--out", help="file to write, or a folder for annotated pictures")
    add("--format", help="csv, json, png; of a video mp4; default: by the name of --out")
    _recogniser_options(recognise)
    camera = command("camera", "expressions live, in a window; q quits")
    _recogniser_options(camera)
    camera.add_argument("--device", default="0", help="the camera's number, or a video's address")
    export = command("export", "a trained network as ONNX with its model card", "model", "target")
    export.add_argument("--data", help="FER2013, a file or a folder; default: what is at hand")
    what = "fine-tune the recogniser's network on a folder of faces, a subfolder by class"
    train = command("train", what, "dataset")
    train.add_argument("--epochs", type=int, help="with all layers; default: 12")
    train.add_argument("--learning-rate", type=float, help="the highest; default: 0.01")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--out", help="NAME.keras; default: named as the folder")
    what = "the data set TARGET of FOLDER, which holds a folder of pictures for each class"
    dataset = command("dataset", what, "folder", "target")
    dataset.add_argument("--faces", help="a detector, or whole; default: yunet, else haar")
    return parser


def _recogniser_options(parser: ArgumentParser) -> None:
    """Network and detector, as `command.recogniser` reads them."""
    add = parser.add_argument
    add("--model", default="compact", help="compact, compact_small, or a file .onnx or .keras")
    add("--detector", help="yunet, haar, whole, a file .xml or .onnx; default: yunet, else haar")
    add("--classes", help="what a .keras file of one's own predicts, in its order, by commas")
    add("--margin", type=float, help="share of a box's side to add on each side")
    add("--precision", choices=["int8", "float32"], help="arithmetic; default: int8")
    views = "of each face to average: 1, 2 or 10; more is slower"
    add("--views", type=int, default=DEFAULT_VIEWS, help=views)
    add("--prior", help="shares of the classes: fer2013, uniform, or NAME=SHARE,...")


def _study(options: Namespace) -> int:
    """The exit status of a command of the study."""
    match options.command:
        case "run":
            from fercore.workflow import run

            given = {"cores": options.cores, "force": options.force, "dry_run": options.dry_run}
            status = 0
            for name in [options.profile] if options.profile else run.default():
                status = run.run(name, **given, extra=options.snakemake) or status
                if status == run.INTERRUPTED:
                    break
            return status
        case "execute":
            # jsonschema's parser of addresses is slow to start; no notebook's format needs it
            sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
            from fercore.workflow import execute

            files = options.notebook, options.executed, options.target
            return execute.execute(options.profile, *files, options.parameters)
        case "index":
            from fercore.workflow import index

            index.index(options.profile)
        case "publish":
            from fercore.workflow import publish

            print(publish.publish(options.profile))
        case "documents":
            from fercore.workflow import documents

            print(*documents.update_documents(), sep="\n")
    return 0


def _recogniser(options: Namespace) -> int:
    """The exit status of a command that needs no clone."""
    match options.command:
        case "recognise" | "camera":
            from fercore.recognition import command

            if options.command == "recognise":
                return command.run(options)
            command.check_windows()
            command.show(command.recogniser(options), options.device)
        case "export":
            from fercore.data import datasets
            from fercore.recognition import model_card

            faces = datasets.load(options.data)
            print(model_card.write(Path(options.model), Path(options.target), faces))
        case "train":
            from fercore.training import fine_tuning

            print(fine_tuning.run(options))
        case "dataset":
            _dataset(options)
    return 0


def _dataset(options: Namespace) -> None:
    from fercore.data import image_folders
    from fercore.recognition import recogniser

    reader = recogniser.Recogniser(detector=options.faces)

    def largest_face(rgb):
        boxes, _, tilts = reader.find(rgb)
        if not len(boxes):
            return None
        largest = boxes[:, 2:].prod(axis=1).argmax()
        return recogniser.crop(rgb, boxes[largest], reader.margin, tilts[largest])

    made = image_folders.make(options.folder, options.target, largest_face)
    print(f"{'':12} {'train':>6} {'val':>6} {'test':>6}")
    for name, numbers in made.counts.items():
        print(f"{name:12}", *(f"{number:6}" for number in numbers))
    for picture, problem in made.problems:
        print(f"left out: {picture}: {problem}".encode(errors="replace").decode())
    total = sum(map(sum, made.counts.values()))
    print(f"{total} faces written to {made.folder}; look through them, then give it as data")
