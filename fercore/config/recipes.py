"""How a network is trained: recipes as YAML in `params/recipes/`, read and checked."""

import dataclasses
import math
import os
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass

from fercore import artifacts, paths
from fercore.config import SIDE, reading
from fercore.config.reading import ParameterError, mistake, read_yaml, shown, suggestion
from fercore.paths import place

UNAUGMENTED = {"rotation": 0, "shift": 0, "zoom": 0, "flip": False, "erasing": 0}
Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=1, le=SIDE)]


@dataclass(frozen=True, config=reading.STRICT)  # so that dataclasses.replace changes one, checked
class Recipe:
    """The values of a recipe; `params/recipes/` holds the published and the study's own. What each
    value does stands in its description, and with its range in docs/parameters.md."""

    epochs: Count = 40
    """Passes over the training faces."""
    batch_size: Count = 64
    """Faces of one training step."""
    optimizer: Literal["sgd", "momentum", "adam"] = "sgd"
    """`sgd` is Nesterov's, `momentum` the plain one, both with `momentum`."""
    learning_rate: Positive = 0.05
    """The highest of the schedule."""
    momentum: Fraction = 0.9
    """Share of the last step that the next one keeps."""
    ema_momentum: Fraction = 0.0
    """Share that each step leaves of an exponential moving average of the weights (Polyak &
    Juditsky 1992), which is then validated and kept; 0: the weights themselves."""
    schedule: Literal["one_cycle", "constant", "exponential"] = "one_cycle"
    """`one_cycle` rises linearly over `warmup` and falls along a half cosine to 0 (Smith & Topin
    2017, arXiv:1708.07120); `constant` stays; `exponential` is multiplied by `decay` every
    `decay_steps` steps."""
    warmup: Share = 0.25
    """Share of the steps in which `one_cycle` rises."""
    decay: Positive = 1.0
    """Factor of the `exponential` schedule."""
    decay_steps: Count = 1
    """Steps between two multiplications by `decay`."""
    weight_decay: Amount = 0.0005
    """Share of the weights, times the learning rate, that each step removes."""
    loss: Literal["categorical_crossentropy", "binary_crossentropy"] = "categorical_crossentropy"
    """`binary_crossentropy` is that of each class by itself, for sigmoid outputs."""
    label_smoothing: Fraction = 0.1
    """Probability that is spread evenly over all classes."""
    soft_share: Share = 0.7
    """Weight of soft targets against labels, for networks with teachers or voters."""
    copies: Annotated[int, Field(ge=0)] = 0
    """Augmented copies that are made once of each face, in mixed pairs if `mixup` says so. Epochs
    take them in turn, and the only targets are what teachers predict for the copy itself (after
    Beyer et al. 2022, arXiv:2106.05237, who predict in every step); 0: teachers predict for the
    unaugmented face."""
    normalisation: Literal["standardise", "unit", "raw"] = "standardise"
    """`standardise` gives each face mean 0 and deviation 1; `unit` is 0 to 1; `raw` 0 to 255."""
    rotation: Amount = 10.0
    """Augmentation: degrees, at most, either way."""
    shift: Amount = 0.08
    """Augmentation: share of the side, at most, each way."""
    zoom: Fraction = 0.1
    """Augmentation: larger or smaller by at most so much."""
    flip: bool = True
    """Augmentation: half of the faces are mirrored."""
    erasing: Share = 0.0
    """Augmentation: probability that a rectangle is filled with the face's mean (Zhong et al. 2020,
    arXiv:1708.04896)."""
    sharp: Share = 0.0
    """Augmentation: share of the faces that are shifted by whole pixels and mirrored only, so that
    nothing is interpolated; 0: none, and the others stay as they are without it."""
    mixup: Amount = 0.0
    """Each face and its target are mixed with another's by a weight from a beta distribution with
    both parameters so large (Zhang et al. 2018, arXiv:1710.09412); 0: not."""
    crop: Pixels | None = None
    """Side in pixels of the centre that the network sees; null: all of it."""
    small_side: Pixels | None = None
    """Side to which faces are shrunk in the first epochs, which makes these cheaper by the area
    (progressive resizing, Howard 2018); null: no such epochs."""
    small_share: Fraction = 0.5
    """Share of the epochs that see `small_side`."""
    dropout: Fraction | None = None
    """Share of units dropped; null: as the network's builder has it."""
    descriptor_follows: bool = True
    """A mirrored face gets the descriptor of the mirrored face; in system A it keeps that of the
    unmirrored one."""
    descriptor_dropout: Fraction = 0.0
    """Share of a descriptor's numbers that each step sets to 0, the others raised in proportion: to
    a descriptor that stays while its face is augmented, networks overfit."""
    modality_dropout: Fraction = 0.0
    """Share of the faces that each step shows without any descriptor (all 0), so that the pixels
    are learned too (ModDrop, Neverova et al. 2016, arXiv:1501.00102)."""
    descriptor_scaling: dict[str, str] = field(
        default_factory=lambda: {"sift": "hellinger", "dsift": "unit"}
    )
    """Scaling of each descriptor, as `descriptors.scale` names it."""
    descriptors_standardised: bool = False
    """Each number of a descriptor gets mean 0 and deviation 1 over the training faces."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """`auto`: bfloat16 where the processor computes in it."""

    @property
    def small_epochs(self) -> int:
        """How many epochs see faces of `small_side` pixels; the last one sees whole faces in any
        case."""
        return min(round(self.epochs * self.small_share), self.epochs - 1) if self.small_side else 0


FIELDS = Recipe.__pydantic_fields__  # type: ignore[attr-defined]  # pydantic's decorator adds it


def names() -> list[str]:
    """Names of the recipes in params/recipes."""
    return sorted(path.stem for path in (paths.PARAMS / "recipes").glob("*.yaml"))


def path_of(name: str) -> Path:
    """`params/recipes/<name>.yaml`; where `name` ends with .yaml that path, from the project's
    folder if relative."""
    own = str(name).endswith(".yaml")
    return paths.ROOT / name if own else paths.PARAMS / "recipes" / f"{name}.yaml"


def exists(name: str) -> bool:
    """Whether the file that `path_of` gives is there."""
    return os.path.isfile(path_of(name))


def files(name: str) -> list[Path]:
    """The files that a recipe is read from: its own, then those that it extends. Raises
    `ParameterError` when one is missing or they extend each other in a circle."""
    found: list[Path] = []
    while name is not None:
        where = f"{place(found[-1])}: extends " if found else ""
        if not exists(name):
            raise ParameterError(
                f"{where}recipe {shown(name)}: no such file; {suggestion(name, names())}"
            )
        found.append(path_of(name))
        if found[-1] in found[:-1]:
            raise ParameterError(f"{where}{found[-1].stem}, a circle; name another one")
        name = read_yaml(found[-1]).get("extends")
    return found


def values(name: str) -> dict:
    """What a recipe's file and those that it extends say, each over what it extends, without the
    defaults of `Recipe`. Raises as `read` does."""
    found: dict = {}
    for path in reversed(files(name)):
        own = read_yaml(path)
        own.pop("extends", None)
        check(own, f"{place(path)}: ")
        found |= own
    return found


def read(name: str, **changes) -> Recipe:
    """The recipe in the file that `path_of` gives, upon those it extends; `changes` that are not
    None replace its values. Raises `ParameterError` naming the file and the key when it is missing
    or not understood."""
    given = {key: value for key, value in changes.items() if value is not None}
    return check(values(name) | given)


def check(content: dict, where: str = "") -> Recipe:
    """A recipe of the values in `content`. Raises `ParameterError` that begins with `where`."""
    for key in content.keys() - FIELDS.keys():
        raise ParameterError(where + reading.unknown(key, FIELDS))
    try:
        return Recipe(**content)
    except ValidationError as error:
        raise ParameterError(where + mistake(error)) from None


def write(recipe: Recipe, path: Path, *, comment: str) -> Path:
    """Write a recipe as YAML that `read` takes, below one line of `comment`."""
    text = yaml.safe_dump(dataclasses.asdict(recipe), sort_keys=False)  # type: ignore[call-overload]
    return artifacts.write_atomically(path, f"# {comment}\n{text}")


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of step `step` of `steps` under the recipe's schedule."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "exponential":
        return recipe.learning_rate * recipe.decay ** (step // recipe.decay_steps)
    rise = max(1, round(recipe.warmup * steps))
    if step < rise:
        return recipe.learning_rate * (step + 1) / rise
    fall = (step + 1 - rise) / max(1, steps - rise)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * fall))
