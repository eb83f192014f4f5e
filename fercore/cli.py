"""Commands behind run_all.sh and those of the recogniser: python -m fercore COMMAND."""

import argparse
import json
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a mistake of the user's is one line, exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_args(arguments[:end])
    options.snakemake = arguments[end + 1 :]
    try:
        return options.run(options) or 0
    except ValueError as error:
        print(f"fercore: {error}", file=sys.stderr)
    except OSError as error:
        from fercore import artifacts

        place = f"{artifacts.printable(error.filename)}: " if error.filename else ""
        print(f"fercore: {place}{error.strerror or error}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fercore", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    run = _command(
        commands, "run", _run, "run a profile; options of Snakemake go behind --", "profile"
    )
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
    _command(commands, "documents", _documents, "write the results into README.md and RESULTS.md")
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
    recognise.add_argument("--model", default="compact", help="a name, or a file .onnx or .keras")
    recognise.add_argument(
        "--detector", default="haar", help="haar, lbp, dlib, whole, or a file .xml or .onnx (YuNet)"
    )
    recognise.add_argument("--margin", type=float, help="share of a box's side to add on each side")
    recognise.add_argument(
        "--precision", choices=["int8", "float32"], help="arithmetic; default: int8"
    )
    recognise.add_argument(
        "--views", type=int, default=2, help="of each face to average: 1, 2 or 10; more is slower"
    )
    camera = _command(commands, "camera", _camera, "expressions live, in a window; q quits")
    camera.add_argument("--model", default="compact", help="as above")
    camera.add_argument("--detector", default="haar", help="as above")
    camera.add_argument(
        "--device", default="0", help="number of the camera, or a video's file or address"
    )
    cascade = _command(
        commands,
        "cascade",
        _cascade,
        "train a detector of one's own by OpenCV 3.4's programs",
        "positives",
        "negatives",
        "target",
    )
    cascade.description = (
        "positives: a CSV of file,x,y,w,h, a row a box; negatives: a folder of pictures without "
        "what is sought; target: a folder for description files and cascade.xml"
    )
    cascade.add_argument("--size", type=int, default=20, help="side of what is learned, pixels")
    cascade.add_argument("--stages", type=int, default=12)
    cascade.add_argument("--features", default="HAAR", help="HAAR or LBP")
    cascade.add_argument(
        "--windows",
        type=float,
        default=4,
        help="windows of negatives for each positive; default: 4",
    )
    _command(commands, "example", _example, "write the picture of README.md")
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
        "--faces", default="haar", help="haar, lbp, dlib, a cascade file; whole: pictures are faces"
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
    from fercore import artifacts
    from fercore.workflow import run

    return run.run(
        options.profile,
        cores=options.cores or artifacts.cores(),
        force=options.force,
        dry_run=options.dry_run,
        extra=options.snakemake,
    )


def _execute(options: argparse.Namespace) -> int:
    from fercore.workflow import pages

    return pages.execute(
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
    from fercore.training import renewal

    found = renewal.outdated(options.profile)
    for key in found:
        renewal.renew(options.profile, *key)
        print("asked again:", *key, flush=True)
    if not found:
        print(f"outputs/{options.profile}: no model has to be asked again")


def _publish(options: argparse.Namespace) -> None:
    from fercore.workflow import publish

    print(publish.publish(options.profile))


def _documents(options: argparse.Namespace) -> None:
    from fercore.workflow import publish

    print(*publish.update_documents(), sep="\n")


def _recognise(options: argparse.Namespace) -> int:
    from fercore.recognition import command

    return command.run(options)


def _camera(options: argparse.Namespace) -> None:
    from fercore.recognition import camera, recogniser

    camera.check_windows()
    camera.show(recogniser.Recogniser(options.model, options.detector), options.device)


def _cascade(options: argparse.Namespace) -> int:
    from fercore.recognition import cascades

    plan = cascades.Plan(
        options.size, options.size, options.stages, options.features, negatives=options.windows
    )
    return cascades.run(
        Path(options.positives), Path(options.negatives), Path(options.target), plan
    )


def _example(options: argparse.Namespace) -> None:
    from fercore import paths
    from fercore.recognition import explanation

    print(explanation.example(paths.outputs("published") / "recogniser" / "example.webp"))


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

    classes = {"classes": options.classes.split(",")} if options.classes else {}
    made = image_folders.make(
        options.folder,
        options.target,
        faces=options.faces,
        split=options.split,
        seed=options.seed,
        **classes,
    )
    print(made.counts.to_string())
    for row in made.problems.itertuples():
        print(f"left out: {row.picture}: {row.problem}")
    print(
        f"{made.counts.to_numpy().sum()} faces written to {made.folder}; look through them, then give it as data"
    )
