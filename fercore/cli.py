"""Commands behind run_all.sh and those of the recogniser: fercore COMMAND."""

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from fercore import artifacts, paths


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a mistake of the user's is one line, exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_args(arguments[:end])
    options.snakemake, status = arguments[end + 1 :], 2
    try:
        if options.run in STUDY and not paths.IN_CLONE:
            raise ValueError(
                "pip brings the recogniser alone: clone the study and use ./run_all.sh"
            )
        return options.run(options) or 0
    except KeyboardInterrupt:
        mistake, status = "interrupted", 130
    except ModuleNotFoundError as error:
        mistake = f"{error.name} is not installed; pip install 'fercore[study]' brings it"
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        mistake = f"{place}{error.strerror or error}"
    except (ValueError, RuntimeError, TypeError) as error:
        mistake = str(error)
    print(f"fercore: {artifacts.printable(mistake, 600)}", file=sys.stderr)
    return status


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="fercore", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(function, *names: str) -> ArgumentParser:
        """A command of positional arguments; the function's docstring is its help."""
        one = commands.add_parser(function.__name__.strip("_"), help=function.__doc__)
        one.set_defaults(run=function)
        for name in names:
            one.add_argument(name)
        return one

    run = command(_run)
    run.add_argument("profile", nargs="?", help="default: by the data at hand")
    run.add_argument("--cores", type=int, default=artifacts.cores())
    run.add_argument("--force", action="store_true")
    run.add_argument("--dry-run", action="store_true")
    command(_execute, "profile", "notebook", "executed", "target", "parameters")
    command(_index, "profile")
    command(_publish, "profile")
    command(_documents)
    recognise = command(_recognise)
    add = recognise.add_argument
    add("paths", nargs="+", metavar="path", help="pictures and folders, or one video")
    add("--out", help="file to write; for several annotated pictures, a folder")
    add("--format", help="csv, json, png; of a video mp4; default: by the name of --out")
    _recogniser_options(recognise)
    camera = command(_camera)
    _recogniser_options(camera)
    camera.add_argument("--device", default="0", help="the camera's number, or a video's address")
    export = command(_export, "model", "target")
    export.add_argument("--data", help="FER2013, a file or a folder; default: what is at hand")
    train = command(_train, "dataset")
    train.add_argument("--from", default="compact", choices=["compact"], help="what is trained on")
    train.add_argument("--epochs", type=int, help="with all layers; default: 12")
    train.add_argument("--learning-rate", type=float, help="the highest; default: 0.01")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--out", help="NAME.keras; default: named as the folder")
    dataset = command(_dataset, "folder", "target")
    dataset.add_argument("--faces", default="haar", help="a detector; whole: pictures are faces")
    return parser


def _recogniser_options(parser: ArgumentParser) -> None:
    """Network and detector, as `command.recogniser` reads them."""
    add = parser.add_argument
    add("--model", default="compact", help="a name, or a file .onnx or .keras")
    add("--detector", help="yunet, haar, whole, a file .xml or .onnx; default: yunet, else haar")
    add("--classes", help="what a .keras file of one's own predicts, in its order, by commas")
    add("--margin", type=float, help="share of a box's side to add on each side")
    add("--precision", choices=["int8", "float32"], help="arithmetic; default: int8")
    add("--views", type=int, default=2, help="of each face to average: 1, 2 or 10; more is slower")
    add("--prior", help="shares of the classes: fer2013, uniform, or NAME=SHARE,...")


def _run(options: Namespace) -> int:
    """run a profile; options of Snakemake go behind --"""
    from fercore.workflow import run

    given = {"cores": options.cores, "force": options.force, "dry_run": options.dry_run}
    status = 0
    for name in [options.profile] if options.profile else run.default():
        status = run.run(name, **given, extra=options.snakemake) or status
        if status == run.INTERRUPTED:
            break
    return status


def _execute(options: Namespace) -> int:
    """a notebook, executed and exported"""
    # jsonschema's parser of addresses takes most of the start, and no notebook's format needs it
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    from fercore.workflow import execute

    values = json.loads(options.parameters)
    return execute.execute(
        options.profile, options.notebook, options.executed, options.target, values
    )


def _index(options: Namespace) -> None:
    """the index page of a run"""
    from fercore.workflow import index

    index.index(options.profile)


def _publish(options: Namespace) -> None:
    """copy a run on FER2013 into outputs/published"""
    from fercore.workflow import publish

    print(publish.publish(options.profile))


def _documents(options: Namespace) -> None:
    """write the results into README.md and docs/results.md"""
    from fercore.workflow import documents

    print(*documents.update_documents(), sep="\n")


def _recognise(options: Namespace) -> int:
    """expressions in pictures, folders or a video"""
    from fercore.recognition import command

    return command.run(options)


def _camera(options: Namespace) -> None:
    """expressions live, in a window; q quits"""
    from fercore.recognition import command

    command.check_windows()
    command.show(command.recogniser(options), options.device)


def _export(options: Namespace) -> None:
    """a trained network as ONNX with its model card"""
    from fercore.data import datasets
    from fercore.recognition import model_card

    faces = datasets.load(options.data)
    print(model_card.write(Path(options.model), Path(options.target), faces))


def _train(options: Namespace) -> None:
    """fine-tune the recogniser's network on a folder of pictures of faces, a subfolder by class"""
    from fercore.training import fine_tuning

    print(fine_tuning.run(options))


def _dataset(options: Namespace) -> None:
    """the data set TARGET of FOLDER, which holds a folder of pictures for each class"""
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


STUDY = (_run, _execute, _index, _publish, _documents)  # need a clone
