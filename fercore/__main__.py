"""Commands behind run_all.sh: python -m fercore run|report|index|publish|readme."""
import argparse
import os
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a mistake of the user's is one line, exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_args(arguments[:end])
    options.snakemake = arguments[end + 1:]
    try:
        return options.run(options) or 0
    except ValueError as error:
        print(f"fercore: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fercore", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    run = _command(commands, "run", _run, "run a profile; options of Snakemake go behind --", "profile")
    run.add_argument("--cores", type=int, default=_cores())
    run.add_argument("--force", action="store_true")
    run.add_argument("--dry-run", action="store_true")
    _command(commands, "report", _report, "executed notebook to HTML", "profile", "executed", "target")
    _command(commands, "index", _index, "the index page of a run", "profile")
    _command(commands, "publish", _publish, "copy a run on FER2013 into outputs/published", "profile")
    _command(commands, "readme", _readme, "write the results table of README.md")
    return parser


def _command(commands, name: str, function, text: str, *arguments: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text)
    parser.set_defaults(run=function)
    for argument in arguments:
        parser.add_argument(argument)
    return parser


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(options: argparse.Namespace) -> int:
    from fercore import series

    return series.run(
        options.profile, cores=options.cores, force=options.force, dry_run=options.dry_run, extra=options.snakemake
    )


def _report(options: argparse.Namespace) -> None:
    from fercore import report

    report.export(options.profile, Path(options.executed), Path(options.target))


def _index(options: argparse.Namespace) -> None:
    from fercore import report

    report.index(options.profile)


def _publish(options: argparse.Namespace) -> None:
    from fercore import publishing

    print(publishing.publish(options.profile))


def _readme(options: argparse.Namespace) -> None:
    from fercore import publishing

    print(publishing.update_readme())


if __name__ == "__main__":
    sys.exit(main())
