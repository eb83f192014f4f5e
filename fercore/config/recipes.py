"""How a network is trained: recipes as YAML in `params/recipes/`, read and checked."""

import math
import os
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fercore import paths
from fercore.config import SIDE, reading
from fercore.config.reading import ParameterError, checked, read_yaml, shown, suggestion
from fercore.paths import place

UNAUGMENTED = {"rotation": 0, "shift": 0, "zoom": 0, "flip": False, "erasing": 0, "degrading": 0}
Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=1, le=SIDE)]


@dataclass(frozen=True, config=reading.STRICT)  # so that dataclasses.replace changes one, checked
class Recipe:
    """The values of a recipe, as docs/parameters.md lists them with their ranges."""

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
    """Momentum of the exponential moving average of the weights; 0: none."""
    schedule: Literal["one_cycle", "constant", "exponential"] = "one_cycle"
    """`one_cycle` rises linearly over `warmup` and falls along a half cosine (arXiv:1708.07120);
    `exponential` is multiplied by `decay` every `decay_steps` steps."""
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
    """Augmented copies made once of each face, in mixed pairs if `mixup` says so, that epochs take
    in turn; their only targets are what teachers predict for them (after Beyer et al. 2022,
    arXiv:2106.05237); 0: teachers predict for the unaugmented face."""
    normalisation: Literal["standardise", "unit", "raw"] = "standardise"
    """`standardise` gives each face mean 0 and deviation 1; `unit` is 0 to 1; `raw` 0 to 255."""
    rotation: Amount = 10.0
    """Augmentation: degrees, at most, either way."""
    shift: Amount = 0.08
    """Augmentation: share of the side, at most, each way."""
    zoom: Fraction = 0.1
    """Augmentation: the scale is drawn between 1 − zoom and 1 + zoom."""
    flip: bool = True
    """Augmentation: half of the faces are mirrored."""
    erasing: Share = 0.0
    """Augmentation: probability that a rectangle is filled with the mean (arXiv:1708.04896)."""
    sharp: Share = 0.0
    """Augmentation: share of the faces that are shifted by whole pixels and mirrored only, so that
    nothing is interpolated."""
    degrading: Share = 0.0
    """Augmentation: probability that a face gets noise or JPEG's artefacts (arXiv:1903.12261)."""
    mixup: Amount = 0.0
    """Mixup (arXiv:1710.09412): each face and its target are mixed with another's, by a weight
    drawn from Beta(α, α) with this α; 0: off."""
    crop: Pixels | None = None
    """Side in pixels of the centre that the network sees; null: all of it."""
    small_side: Pixels | None = None
    """Side to which faces are shrunk in the first epochs (progressive resizing); null: none."""
    small_share: Fraction = 0.5
    """Share of the epochs that see `small_side`."""
    dropout: Fraction | None = None
    """Share of units dropped; null: as the network's builder has it. `parameters` of the network's
    file win."""
    descriptor_follows: bool = True
    """A mirrored face gets the descriptor of the mirrored face; in system A not."""
    descriptor_dropout: Fraction = 0.0
    """Share of a descriptor's numbers that each step sets to 0, the others raised in proportion."""
    modality_dropout: Fraction = 0.0
    """Share of the faces that each step shows without descriptors (ModDrop, arXiv:1501.00102)."""
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
        """How many epochs see faces of `small_side` pixels; the last one sees whole faces."""
        return min(round(self.epochs * self.small_share), self.epochs - 1) if self.small_side else 0


def files(name: str, *extending: Path) -> list[Path]:
    """The files that a recipe is read from: params/recipes/<name>.yaml, or a path that ends so,
    from the project's folder if relative; then those that it extends. Raises `ParameterError` when
    one is missing or they extend each other in a circle, here one of those `extending` it."""
    where = f"{place(extending[-1])}: extends " if extending else ""
    own = str(name).endswith(".yaml")
    path = paths.ROOT / name if own else paths.PARAMS / "recipes" / f"{name}.yaml"
    if not os.path.isfile(path):  # False also where Path's own raises, as for a name too long
        near = suggestion(name, [one.stem for one in paths.PARAMS.glob("recipes/*.yaml")])
        raise ParameterError(f"{where}recipe {shown(name)}: no such file; {near}")
    if path in extending:
        raise ParameterError(f"{where}{name}, a circle; name another one")
    base = read_yaml(path).get("extends")
    return [path] if base is None else [path, *files(base, *extending, path)]


def values(name: str) -> dict:
    """What a recipe's file says over those that it extends, without the defaults of `Recipe`."""
    found: dict = {}
    for path in reversed(files(name)):
        own = read_yaml(path)
        own.pop("extends", None)
        check(own, place(path))
        found |= own
    return found


def read(name: str, **changes) -> Recipe:
    """The recipe of `files`; `changes` that are not None replace its values. Raises
    `ParameterError` naming the file and the key when it is missing or not understood."""
    given = {key: value for key, value in changes.items() if value is not None}
    return check(values(name) | given)


def check(content: dict, where: str = "") -> Recipe:
    """A recipe of the values in `content`. Raises `ParameterError` that begins with `where`."""
    return checked(Recipe, content, where)


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
