"""What a file of a profile, network, aggregate or change may hold, and how it is read."""

import importlib.util
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from fercore import paths
from fercore.config import reading
from fercore.config.reading import Model, ParameterError, checked, read_yaml, shown, suggestion
from fercore.paths import place

PUBLISHED_RECIPE = "_published"  # a network trained by its system's own recipe has this ending
STUDY_ENSEMBLE = "study_ensemble"  # the weighted one, of all networks of a split
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]
Accuracies = dict[str, dict[Literal["validation", "test"], float]]


class Checked(BaseModel):
    """A file, or a part of one: unknown keys are refused, and so is a value of another type."""

    model_config = reading.STRICT


class Profile(Checked):
    """What one run consists of."""

    name: str
    description: str = ""
    """What `run_all.sh --help` says of it."""
    data: str | None = None
    """A file or folder of faces, or `synthetic`; null: as the README says."""
    seeds: list[int] = [0]
    """Each network is trained with each of these seeds."""
    notebooks: list[str] = []
    """Notebooks that run once; empty: all that do not train, with `replay: true` all of them."""
    predictions: str | None = None
    """A run whose predictions are copied in; then the tables of both are compared."""
    networks: dict[str, list[str]] = {}
    """The networks trained, by split."""
    parameters: dict[str, dict | None] = {}
    """Values for notebooks: by `all`, a notebook, a split, a network; the last counts."""
    minutes: dict[Literal["synthetic", "FER2013"], dict[str, float]] = {}
    """Minutes on two cores, by kind of data and by notebook or network."""
    requires_fer2013: bool = False
    """Nothing is run on other faces."""


class FineTuning(Checked):
    """A second stage of training."""

    trainable_from: str
    """The first layer that learns in the second stage."""
    recipe: str
    """Recipe of the second stage."""


class Network(Checked):
    """A row of the tables: a builder with its parameters, inputs and recipe."""

    base: str | None = None
    """The builder in the registry of networks."""
    system: str = "own"
    """The published system, `A` to `E`, or `own`."""
    notebook: str
    """The notebook that trains it."""
    recipe: str | None
    """Its recipe; null: the builder needs none, as an SVM."""
    inputs: list[str]
    """`image` and descriptors, in the order of the builder's."""
    parameters: dict = {}
    """Keywords for the builder."""
    views: Literal[1, 2, 10] = 2
    """Views of a face whose probabilities are averaged (test-time augmentation)."""
    model: str | None = None
    """A trained `.keras` file that stands in for `base`, and is not trained."""
    class_names: list[str] | None = None
    """What the outputs of `model` are, in their order, where no card beside it says so."""
    fine_tuning: FineTuning | None = None
    """A second stage of training."""
    teachers: list[str] = []
    """Networks whose probabilities are its soft targets, on the same split."""
    teacher_seeds: list[int] = []
    """Seeds of the teachers; not given: the seed of the network itself."""
    starts_from: str | None = None
    """A network whose trained weights it begins with, on the same split and seed."""
    soft_labels: Literal["ferplus"] | None = None
    """Shares of the FER+ votes as soft targets."""
    needs: str | None = None
    """What it may lack; training is then skipped, and the tables say so."""
    published_parameters: Annotated[int, Field(gt=0)] | None = None
    """Published number of trainable weights, which tests hold."""
    published: Accuracies | None = None
    """Published accuracies in %, by split and part."""

    @model_validator(mode="after")
    def _can_be_built(self) -> "Network":
        if self.base is None and self.model is None:
            raise ValueError("needs `base`")
        return self


class Aggregate(Checked):
    """An unweighted mean of the probabilities of several networks."""

    name: str
    system: str = "own"
    """The published system, `A` to `E`, or `own`."""
    members: Annotated[list[str], Field(min_length=2)]
    """Networks, two or more; their `_published` variants give a second aggregate."""
    optional: list[str] = []
    """Members that may be missing; the record says which were."""
    published: Accuracies = {}
    """Published accuracies in %, by split and part."""
    scores: dict[str, float] = {}
    """Other published scores, in %."""
    rows: dict[str, int] = {}
    """Faces by class in the published confusion matrix."""

    @model_validator(mode="after")
    def _two_remain(self) -> "Aggregate":
        members, optional = set(self.members), set(self.optional)
        if not optional <= members or len(members - optional) < 2:
            raise ValueError("`optional` must name some of its members and leave two others")
        return self


class Change(Checked):
    """One change, and the networks or aggregates that differ in it."""

    title: str
    """What the change is."""
    pairs: Annotated[list[Pair], Field(min_length=1)]
    """[before, after], each pair compared on every split that both ran on."""


def names(folder: str) -> list[str]:
    """The names of the files in a folder of params/: `profiles` or `networks`."""
    return sorted(path.stem for path in (paths.PARAMS / folder).glob("*.yaml"))


def profile(name: str) -> Profile:
    """Read params/profiles/<name>.yaml. Raises `ParameterError` as all that read here do."""
    return _read(Profile, "profiles", name, name=name)


def network(name: str) -> dict:
    """The keys that params/networks/<name>.yaml holds."""
    return _read(Network, "networks", name).model_dump(exclude_unset=True)


def lacking(content: dict) -> str | None:
    """What a network of this file needs and is not installed, and how to get it; None when it can
    be trained."""
    there = all(map(importlib.util.find_spec, ("dlib", "face_recognition_models")))
    needed = "landmarks" in content.get("inputs", ()) and not there
    return "needs landmarks: pip install dlib-bin face_recognition_models" if needed else None


def aggregates() -> dict[str, Aggregate]:
    """The aggregates of params/aggregates.yaml by name, of the study's recipe and of the published
    one (ending `_published`); none where there is no such file."""
    path = paths.PARAMS / "aggregates.yaml"
    found: dict[str, Aggregate] = {}
    for name, entry in (read_yaml(path) if path.exists() else {}).items():
        one = checked(Aggregate, entry, f"{place(path)}: {name}", name=name)
        for ending in ("", PUBLISHED_RECIPE):
            members, optional = ([m + ending for m in key] for key in (one.members, one.optional))
            own = {"name": name + ending, "members": members, "optional": optional}
            found[name + ending] = one.model_copy(update=own)
    return found


def changes() -> dict[str, Change]:
    """The changes of params/changes.yaml by their key, in its order."""
    path = paths.PARAMS / "changes.yaml"
    known = {*names("networks"), *aggregates(), STUDY_ENSEMBLE}
    found: dict[str, Change] = {}
    for key, entry in read_yaml(path).items():
        where = f"{place(path)}: {key}"
        found[key] = checked(Change, entry, where)
        for name in (name for pair in found[key].pairs for name in pair if name not in known):
            near = suggestion(name, known)
            raise ParameterError(f"{where}: {name!r} is no network or aggregate; {near}")
    return found


def _read(model: type[Model], folder: str, file: str, **own: str) -> Model:
    """A file in a folder of params/, by its name without ending."""
    if file not in names(folder):
        near = suggestion(file, names(folder))
        raise ParameterError(f"{shown(file)}: no such file in params/{folder}/; {near}")
    path = paths.PARAMS / folder / f"{file}.yaml"
    return checked(model, read_yaml(path), place(path), **own)
