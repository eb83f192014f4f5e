"""A cascade of one's own, as system D tells how: description files, then OpenCV's two programs.

`opencv_createsamples` and `opencv_traincascade` left OpenCV with version 4; they exist in 3.4. The
files are written and checked here in any case, so that the training can be done where the programs
are. The cascade that comes out is a detector: `Recogniser(detector="cascade.xml")`.
"""

import csv
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fercore import artifacts
from fercore.data import pictures

PROGRAMS = ("opencv_createsamples", "opencv_traincascade")
WHERE = (
    "OpenCV 4 no longer ships them: they are in OpenCV 3.4, for Windows in its prebuilt package "
    "(build/x64/vc15/bin), elsewhere built from its source (branch 3.4); put their folder into PATH"
)
COLUMNS = ("file", "x", "y", "w", "h")
POSITIVES, NEGATIVES, SAMPLES, LOG = "positives.txt", "negatives.txt", "samples.vec", "training.log"
USABLE = (
    0.0001  # share of windows that a cascade of thousands of windows a picture may take wrongly
)
TOLD = 3  # mistakes that are named, of all that were found

Box = tuple[int, int, int, int]


class CascadeError(ValueError):
    """Pictures, boxes or parameters that no cascade can be trained on, or a training that
    failed."""


@dataclass(frozen=True)
class Plan:
    """How a cascade is trained. Sizes in pixels; system D: 20×20, 7,000 positives and 3,500
    negatives.

    `features` HAAR or LBP (OpenCV reads HOG cascades no longer); `share` of the positives that each
    stage takes: later stages replace those that earlier ones reject, and stop when none are left;
    `negatives`: for each of these, windows without what is sought, cut from the pictures without
    it. A few hundred positives want several each: with system D's half, every stage judges by too
    few.
    """

    width: int = 20
    height: int = 20
    stages: int = 12
    features: str = "HAAR"
    share: float = 0.85
    negatives: float = 4.0

    def __post_init__(self):
        if self.features not in ("HAAR", "LBP"):
            raise CascadeError(f"features {self.features!r}: choose HAAR or LBP")
        if (
            min(self.width, self.height) < 8
            or self.stages < 1
            or not 0 < self.share <= 1
            or not 0 < self.negatives < math.inf
        ):
            raise CascadeError(
                f"{self}: sizes from 8, stages from 1, share up to 1, negatives above 0 and finite"
            )


def read_positives(table: str | Path) -> dict[Path, list[Box]]:
    """The boxes of each picture, from a CSV with the columns file, x, y, w, h: a row a box, pixels
    from the upper left.

    Files are sought in the folder of the CSV. Raises `CascadeError` with the first mistakes: files
    missing or unreadable, values that are no whole numbers, boxes outside their picture.
    """
    table = Path(table)
    boxes, sizes, mistakes = {}, {}, []
    for number, row in _rows(table):
        try:
            path, box = (
                _picture(table.parent, row["file"]),
                tuple(int(row[name]) for name in COLUMNS[1:]),
            )
            sizes[path] = sizes.get(path) or _size(path)
            _check_box(box, sizes[path])
            boxes.setdefault(path, []).append(box)
        except (TypeError, ValueError) as error:
            whole = "x, y, w and h must be whole numbers"
            mistakes.append(f"line {number}: {error if isinstance(error, CascadeError) else whole}")
    _raise(mistakes, table.name)
    if not boxes:
        raise CascadeError(f"{table.name}: no boxes; give a row for each, {','.join(COLUMNS)}")
    return boxes


def read_negatives(folder: str | Path, plan: Plan, positives: Sequence[Path] = ()) -> list[Path]:
    """The pictures of a folder, none of which shows what is sought. Raises `CascadeError`.

    A picture that is also among the positives, too small or unreadable is a mistake.
    """
    try:
        found = pictures.listed(folder)
    except pictures.PictureError as error:
        raise CascadeError(f"negatives: {error}") from None
    known, mistakes = {path.resolve() for path in positives}, []
    for path in found:
        try:
            size = _size(path)
        except CascadeError as error:
            mistakes.append(str(error))
            continue
        if path.resolve() in known:
            mistakes.append(f"{path.name} is among the positives as well")
        elif size[0] < plan.width or size[1] < plan.height:
            mistakes.append(
                f"{path.name} is {size[0]}×{size[1]}, smaller than {plan.width}×{plan.height}"
            )
    _raise(mistakes, "negatives")
    return found


def write_descriptions(
    positives: dict[Path, list[Box]], negatives: Sequence[Path], target: str | Path
) -> Path:
    """Write positives.txt (`file count x y w h x y w h …`) and negatives.txt (a file a line) into
    `target`.

    Names are relative to `target`, from where OpenCV's programs are run.
    """
    target = Path(target)
    lines = [
        f"{_from(target, path)} {len(boxes)} {' '.join(str(value) for box in boxes for value in box)}\n"
        for path, boxes in positives.items()
    ]
    try:
        artifacts.write_atomically(target / POSITIVES, "".join(lines))
        artifacts.write_atomically(
            target / NEGATIVES, "".join(f"{_from(target, path)}\n" for path in negatives)
        )
    except OSError as error:
        raise CascadeError(f"{target}: cannot be written ({error.strerror})") from error
    return target


def missing_programs() -> list[str]:
    """Which of OpenCV's two programs are not installed."""
    return [program for program in PROGRAMS if not shutil.which(program)]


def commands(boxes: int, plan: Plan) -> list[list[str]]:
    """The two commands, to be run in the folder of the descriptions, for so many positive boxes."""
    size = ["-w", str(plan.width), "-h", str(plan.height)]
    taken = max(1, int(plan.share * boxes))
    return [
        [PROGRAMS[0], "-info", POSITIVES, "-vec", SAMPLES, "-num", str(boxes), *size],
        [
            PROGRAMS[1],
            "-data",
            ".",
            "-vec",
            SAMPLES,
            "-bg",
            NEGATIVES,
            "-numPos",
            str(taken),
            "-numNeg",
            str(max(1, round(plan.negatives * taken))),
            "-numStages",
            str(plan.stages),
            "-featureType",
            plan.features,
            *size,
        ],
    ]


def train(target: str | Path, boxes: int, plan: Plan) -> Path:
    """Run the two commands in `target`; the cascade, target/cascade.xml. What they print goes to
    target/training.log.

    A training that was interrupted goes on at its last stage. Raises `CascadeError` when a program
    is missing or fails.
    """
    target = Path(target)
    if missing := missing_programs():
        raise CascadeError(f"{' and '.join(missing)} not found. {WHERE}")
    with open(target / LOG, "w") as log:
        for command in commands(boxes, plan):
            done = subprocess.run(command, cwd=target, stdout=log, stderr=subprocess.STDOUT)
            if done.returncode:
                raise CascadeError(
                    f"{command[0]} ended with status {done.returncode}; see {target / LOG}"
                )
    cascade = target / "cascade.xml"
    if not cascade.is_file():
        raise CascadeError(f"{PROGRAMS[1]} wrote no cascade.xml; see {target / LOG}")
    return cascade


def run(positives: Path, negatives: Path, target: Path, plan: Plan) -> int:
    """The command: check, describe, train where the programs are; exit status 1 when they are
    not."""
    found = read_positives(positives)
    others = read_negatives(negatives, plan, list(found))
    write_descriptions(found, others, target)
    boxes = sum(map(len, found.values()))
    print(
        f"{boxes} positives in {len(found)} pictures: {target / POSITIVES}\n"
        f"{len(others)} pictures without: {target / NEGATIVES}"
    )
    if missing := missing_programs():
        print(f"fercore: {' and '.join(missing)} not found. {WHERE}", file=sys.stderr)
        print(
            f"Then run in {target}:",
            *(" ".join(command) for command in commands(boxes, plan)),
            sep="\n",
        )
        return 1
    print(f"Training; its progress: {target / LOG}", flush=True)
    cascade = train(target, boxes, plan)
    share = false_alarms(target)
    if share is not None:
        print(
            f"{share:.2%} of the windows without what is sought passed all stages before the last; where that is "
            f"more than {USABLE:.2%}, more stages or more pictures without it help"
        )
    print(cascade)
    return 0


def false_alarms(target: str | Path) -> float | None:
    """Share of the windows of negatives that passed all stages before the last, from
    target/training.log."""
    shares = re.findall(r"acceptanceRatio\s+\d+ : (\S+)", (Path(target) / LOG).read_text())
    return float(shares[-1]) if shares else None


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows of the CSV with the numbers of their lines."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise CascadeError(
                    f"{table.name}: no column {', '.join(missing)}; its first line must be "
                    f"{','.join(COLUMNS)}"
                )
            return [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise CascadeError(f"{table}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise CascadeError(f"{table.name}: no CSV file ({error})") from None


def _picture(folder: Path, name: str | None) -> Path:
    if not name:
        raise CascadeError("no file named")
    if any(character.isspace() for character in name):
        raise CascadeError(f"{name!r}: OpenCV's programs read no names with spaces; rename it")
    return folder / name


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, whose pixels are not read."""
    if not path.is_file():
        raise CascadeError(f"{path.name}: no such file")
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise CascadeError(f"{path.name}: no picture") from None


def _check_box(box: Box, size: tuple[int, int]) -> None:
    x, y, width, height = box
    if width < 1 or height < 1 or x < 0 or y < 0 or x + width > size[0] or y + height > size[1]:
        raise CascadeError(
            f"box {x} {y} {width} {height} is not within the picture of {size[0]}×{size[1]}"
        )


def _raise(mistakes: Sequence[str], where: str) -> None:
    if mistakes:
        more = f"; and {len(mistakes) - TOLD} more" if len(mistakes) > TOLD else ""
        raise CascadeError(f"{where}: {'; '.join(mistakes[:TOLD])}{more}")


def _from(target: Path, path: Path) -> str:
    return Path(os.path.relpath(path.resolve(), target.resolve())).as_posix()
