"""How a network is trained: recipes as YAML in `params/recipes/`, read and checked."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.data import augmentation
from fercore.data.faces import SIDE

UNMOVED = {
    "rotation": 0,
    "shift": 0,
    "zoom": 0,
    "flip": False,
    "erasing": 0,
}  # values that leave faces as they are
LIMITS = (  # values of a recipe, what is right for them, and that in words
    (
        ("epochs", "batch_size", "learning_rate", "decay", "decay_steps"),
        lambda value: value > 0,
        "above 0",
    ),
    (
        ("mixup", "copies", "weight_decay", "rotation", "shift"),
        lambda value: value >= 0,
        "0 or more",
    ),
    (
        (
            "momentum",
            "ema_momentum",
            "label_smoothing",
            "zoom",
            "small_share",
            "descriptor_dropout",
            "modality_dropout",
            "dropout",
        ),
        lambda value: 0 <= value < 1,
        "0 or more and below 1",
    ),
    (("soft_share", "warmup", "erasing"), lambda value: 0 <= value <= 1, "0 to 1"),
    (
        ("crop", "small_side"),
        lambda value: 1 <= value <= SIDE,
        f"1 to {SIDE}, the side of a face; null for all of it",
    ),
)


class RecipeError(parameters.ParameterError):
    """A recipe that is missing or cannot be followed."""


@dataclass(frozen=True)
class Recipe:
    """The values of a recipe; `params/recipes/` holds the published and the study's own.

    `schedule`: 'one_cycle' rises linearly over `warmup` of the steps and falls along a half cosine
    to 0; 'constant' stays; 'exponential' is multiplied by `decay` every `decay_steps` steps.
    `learning_rate` is the highest. `optimizer` 'sgd' is Nesterov's, 'momentum' the plain one; both
    with `momentum`. `ema_momentum`: a mean of the weights over past steps is kept, of which each
    step leaves this share (exponential moving average, Polyak & Juditsky 1992), and is what is
    validated and kept; 0 for the weights themselves. `loss`: 'categorical_crossentropy', or
    'binary_crossentropy' of each class by itself. `soft_share`: weight of the soft labels of
    teachers or voters, where the network's file names them, against the labels. `copies`: so many
    moved copies of each face are made once, mixed in pairs if `mixup` says so, and epochs take them
    in turn and learn nothing but what teachers say of the copy itself (after Beyer et al. 2022,
    arXiv:2106.05237, who ask them in every step); 0 for what they say of the face as it is. `crop`:
    side in pixels of what the network sees of a face, cut from its centre; null for the whole face.
    `small_side`: side to which faces are shrunk in the first `small_share` of the epochs, which
    makes them cheaper by their area (progressive resizing, Howard 2018); null for no such epochs.
    `mixup`: each face and its label are mixed with another's by a weight from a beta distribution
    with both parameters so large (Zhang et al. 2018, arXiv:1710.09412); 0 mixes none. `dropout`:
    share of units dropped, for builders that have it as a parameter; null for their own.
    `descriptor_follows` gives a mirrored face the descriptor of the mirrored face (system A leaves
    it unmirrored); `descriptor_dropout` is the share of a descriptor's numbers that each training
    step sets to 0, the others raised in proportion: a descriptor that stays while the face moves is
    otherwise learnt by heart; `modality_dropout` is the share of faces that each training step
    shows without any descriptor (all 0), so that the network learns the pixels too (ModDrop,
    Neverova et al. 2016, arXiv:1501.00102); `descriptor_scaling` is by name, as in
    `descriptors.scale`; `descriptors_standardised` then gives each number of a descriptor mean 0
    and deviation 1 over the training faces. `precision`: 'auto', 'bfloat16' or 'float32'.
    """

    epochs: int = 40
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    ema_momentum: float = 0.0
    schedule: str = "one_cycle"
    warmup: float = 0.25
    decay: float = 1.0
    decay_steps: int = 1
    weight_decay: float = 0.0005
    loss: str = "categorical_crossentropy"
    label_smoothing: float = 0.1
    soft_share: float = 0.7
    copies: int = 0
    normalisation: str = "standardise"
    rotation: float = 10.0
    shift: float = 0.08
    zoom: float = 0.1
    flip: bool = True
    erasing: float = 0.0
    mixup: float = 0.0
    crop: int | None = None
    small_side: int | None = None
    small_share: float = 0.5
    dropout: float | None = None
    descriptor_follows: bool = True
    descriptor_dropout: float = 0.0
    modality_dropout: float = 0.0
    descriptor_scaling: dict[str, str] = field(
        default_factory=lambda: {"sift": "hellinger", "dsift": "unit"}
    )
    descriptors_standardised: bool = False
    precision: str = "auto"

    def __post_init__(self):
        for name, annotation in parameters.annotations(Recipe).items():
            if wrong := parameters.misfit(name, getattr(self, name), annotation):
                raise RecipeError(wrong)
        _one_of("optimizer", self.optimizer, ("sgd", "momentum", "adam"))
        _one_of("schedule", self.schedule, ("one_cycle", "constant", "exponential"))
        _one_of("loss", self.loss, ("categorical_crossentropy", "binary_crossentropy"))
        _one_of("normalisation", self.normalisation, augmentation.NORMALISATIONS)
        _one_of("precision", self.precision, ("auto", "bfloat16", "float32"))
        for names, right, wanted in LIMITS:
            for name in names:
                value = getattr(self, name)
                if value is not None and not right(value):
                    raise RecipeError(f"{name} is {value}; it must be {wanted}")

    @property
    def small_epochs(self) -> int:
        """How many epochs see faces of `small_side` pixels; the last one sees whole faces in any
        case."""
        return min(round(self.epochs * self.small_share), self.epochs - 1) if self.small_side else 0


def path_of(name: str) -> Path:
    """`params/recipes/<name>.yaml`; where `name` ends with .yaml that path, from the project's
    folder if relative."""
    return (
        paths.ROOT / name
        if str(name).endswith(".yaml")
        else paths.PARAMS / "recipes" / f"{name}.yaml"
    )


def read(name: str, **changes) -> Recipe:
    """The recipe in the file that `path_of` gives; `changes` that are not None replace its values.

    Raises `RecipeError` naming the file and the key when it is missing or not understood,
    `ParameterError` when it is no YAML.
    """
    path, own = path_of(name), str(name).endswith(".yaml")
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in (paths.PARAMS / "recipes").glob("*.yaml")))
        what = f"recipe {name}: no such file" if own else f"recipe {name!r} is unknown"
        raise RecipeError(f"{what}; params/recipes/ has {known}")
    values, changes = (
        parameters.read_yaml(path),
        {key: value for key, value in changes.items() if value is not None},
    )
    unknown = (values | changes).keys() - {field.name for field in dataclasses.fields(Recipe)}
    if unknown:
        raise RecipeError(
            f"{parameters.place(path)}: {', '.join(sorted(map(str, unknown)))} is no part of a recipe"
        )
    try:
        recipe = Recipe(**values)
    except RecipeError as error:
        raise RecipeError(f"{parameters.place(path)}: {error}") from None
    return dataclasses.replace(recipe, **changes)


def write(recipe: Recipe, path: Path, *, comment: str) -> Path:
    """Write a recipe as YAML that `read` takes, below one line of `comment`."""
    values = yaml.safe_dump(dataclasses.asdict(recipe), sort_keys=False)
    return artifacts.write_atomically(path, f"# {comment}\n{values}")


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of step `step` of `steps` (one-cycle: Smith & Topin 2017,
    arXiv:1708.07120)."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "exponential":
        return recipe.learning_rate * recipe.decay ** (step // recipe.decay_steps)
    rise = max(1, round(recipe.warmup * steps))
    if step < rise:
        return recipe.learning_rate * (step + 1) / rise
    return (
        recipe.learning_rate
        * 0.5
        * (1 + math.cos(math.pi * (step + 1 - rise) / max(1, steps - rise)))
    )


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RecipeError(f"{name} {value!r} is none of {', '.join(known)}")
