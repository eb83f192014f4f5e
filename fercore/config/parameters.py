"""Profiles, networks, aggregates, changes and searches: what a file of each may hold, and how it
is read. Recipes have a module of their own."""

import importlib.util
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fercore import paths
from fercore.config import recipes
from fercore.config.checking import (
    Checked,
    ParameterError,
    checked,
    explained,
    kind,
    place,
    read_yaml,
    shown,
    suggestion,
)

PUBLISHED_RECIPE = "_published"  # a network trained by its system's own recipe has this ending
STUDY_ENSEMBLE = "study_ensemble"  # the weighted one, of all networks of a split
Accuracies = dict[str, dict[Literal["validation", "test"], float]]
LANDMARKS = ("dlib", "face_recognition_models")


class Profile(Checked):
    """What one run consists of."""

    name: str
    description: str = Field("", description="What `run_all.sh --help` says of it.")
    data: str | None = Field(
        None, description="A file or folder of faces, or `synthetic`; null: as the README says."
    )
    seeds: list[int] = Field([0], description="Each network is trained with each of these seeds.")
    notebooks: list[str] = Field(
        [], description="Notebooks that do not train; empty: all that do not."
    )
    networks: dict[str, list[str]] = Field(
        {}, description="The networks trained, by split; a network without predictions has no row."
    )
    parameters: dict[str, dict | None] = Field(
        {},
        description="Values for the parameters of notebooks: by `all`, a notebook, a split or a "
        "network, the later over the earlier.",
    )
    minutes: dict[Literal["synthetic", "FER2013"], dict[str, float]] = Field(
        {}, description="Minutes on two cores, by kind of data and by notebook or network."
    )
    requires_fer2013: bool = Field(False, description="Nothing is run on other faces.")


class FineTuning(Checked):
    """A second stage of training."""

    trainable_from: str = Field(description="The first layer that learns in the second stage.")
    recipe: str = Field(description="Recipe of the second stage.")


class Network(Checked):
    """A row of the tables: a builder with its parameters, inputs and recipe."""

    base: str | None = Field(None, description="The builder in the registry of networks.")
    system: str = Field("own", description="The published system, `A` to `E`, or `own`.")
    notebook: str = Field(description="The notebook that trains it.")
    recipe: str | None = Field(description="Its recipe; null: the builder needs none, as an SVM.")
    inputs: list[str] = Field(description="`image` and descriptors, in the order of the builder's.")
    parameters: dict = Field({}, description="Keywords for the builder.")
    views: Literal[1, 2, 10] = Field(
        2, description="Views of a face whose probabilities are averaged (test-time augmentation)."
    )
    model: str | None = Field(
        None, description="A trained `.keras` file that stands in for `base`, and is not trained."
    )
    fine_tuning: FineTuning | None = Field(None, description="A second stage of training.")
    teachers: list[str] = Field(
        [], description="Networks whose probabilities are its soft targets, on the same split."
    )
    teacher_seeds: list[int] = Field(
        [], description="Seeds of the teachers; not given: the seed of the network itself."
    )
    soft_labels: Literal["ferplus"] | None = Field(
        None, description="Shares of the FER+ votes as soft targets."
    )
    needs: str | None = Field(
        None, description="What it may lack; training is then skipped, and the tables say so."
    )
    published_parameters: Annotated[int, Field(gt=0)] | None = Field(
        None, description="Published number of trainable weights, which tests hold."
    )
    published: Accuracies | None = Field(
        None, description="Published accuracies in %, by split and part."
    )

    @model_validator(mode="after")
    def _can_be_built(self) -> "Network":
        if self.base is None and self.model is None:
            raise ValueError("needs `base`")
        return self


class Aggregate(Checked):
    """An unweighted mean of the probabilities of several networks."""

    name: str
    system: str = Field("own", description="The published system, `A` to `E`, or `own`.")
    members: Annotated[list[str], Field(min_length=2)] = Field(
        description="Networks, two or more; their `_published` variants give a second aggregate."
    )
    optional: list[str] = Field(
        [], description="Members that may be missing; the record says which were."
    )
    published: Accuracies = Field({}, description="Published accuracies in %, by split and part.")
    scores: dict[str, float] = Field({}, description="Other published scores, in %.")
    rows: dict[str, int] = Field(
        {}, description="Faces by class in the published confusion matrix."
    )

    @model_validator(mode="after")
    def _optional_are_members(self) -> "Aggregate":
        if not set(self.optional) <= set(self.members):
            raise ValueError("has `optional` ones that are none of its members")
        return self


class Change(Checked):
    """One change, and the networks or aggregates that differ in it."""

    title: str = Field(description="What the change is.")
    pairs: Annotated[
        list[Annotated[list[str], Field(min_length=2, max_length=2)]], Field(min_length=1)
    ] = Field(description="[before, after], each pair compared on every split that both ran on.")


class Range(Checked):
    """The values of one hyper-parameter."""

    low: float = Field(description="The lowest value.")
    high: float = Field(description="The highest value.")
    log: bool = Field(False, description="Drawn evenly by the logarithm.")

    @model_validator(mode="after")
    def _rises(self) -> "Range":
        if self.low > self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"low {self.low} must be below high {self.high}, and above 0 where `log` is true"
            )
        return self


class Search(Checked):
    """What a search for hyper-parameters varies."""

    recipe: str = Field(description="The recipe whose other values stay as they are.")
    ranges: Annotated[dict[str, Range], Field(min_length=1)] = Field(
        description="Real numbers of the recipe, each with its range: `low`, `high`, `log`."
    )


def profiles() -> list[str]:
    """Names of the profiles in params/profiles."""
    return _names("profiles")


def network_names() -> list[str]:
    """Networks that have a file in params/networks."""
    return _names("networks")


def profile(name: str) -> Profile:
    """Read params/profiles/<name>.yaml. Raises `ParameterError` for an unknown profile or key, or a
    value of a wrong type."""
    path = _file("profiles", name)
    return checked(Profile, read_yaml(path), place(path), name=name)


def network(name: str) -> dict:
    """The keys that params/networks/<name>.yaml holds. Raises `ParameterError` when there is none
    or it says what cannot be done."""
    path = _file("networks", name)
    return checked(Network, read_yaml(path), place(path)).model_dump(exclude_unset=True)


def lacking(content: dict) -> str | None:
    """What a network of this file needs and is not installed, and how to get it; None when it can
    be trained."""
    if "landmarks" not in content.get("inputs", ()) or all(
        map(importlib.util.find_spec, LANDMARKS)
    ):
        return None
    return "needs landmarks: pip install dlib-bin face_recognition_models"


def aggregates(path: Path | None = None) -> dict[str, Aggregate]:
    """The aggregates of params/aggregates.yaml by name, of the study's recipe and of the published
    one (ending `_published`); none where there is no such file. Raises `ParameterError` naming the
    entry and what is wrong in it."""
    path = path or paths.PARAMS / "aggregates.yaml"
    found: dict[str, Aggregate] = {}
    for name, entry in (_entries(path) if path.exists() else {}).items():
        one = checked(Aggregate, entry, f"{place(path)}: {name}", name=name)
        for ending in ("", PUBLISHED_RECIPE):
            members, optional = ([m + ending for m in key] for key in (one.members, one.optional))
            found[name + ending] = one.model_copy(
                update={"name": name + ending, "members": members, "optional": optional}
            )
    return found


def changes(path: Path | None = None) -> dict[str, Change]:
    """The changes of params/changes.yaml by their key, in its order. Raises `ParameterError` that
    says what is wrong in which."""
    path = path or paths.PARAMS / "changes.yaml"
    known = {*network_names(), *aggregates(), STUDY_ENSEMBLE}
    found: dict[str, Change] = {}
    for key, entry in _entries(path).items():
        found[key] = checked(Change, entry, f"{place(path)}: {key}")
        for name in (name for pair in found[key].pairs for name in pair if name not in known):
            near = suggestion(name, known)
            raise ParameterError(
                f"{place(path)}: {key}: {name!r} is no network or aggregate; {near}"
            )
    return found


def search(name: str) -> Search:
    """The search in params/searches/<name>.yaml. Raises `ParameterError` when it is missing, not
    understood, or goes beyond what a recipe may hold."""
    path = _file("searches", name)
    found = checked(Search, read_yaml(path), place(path))
    real = [key for key, one in recipes.FIELDS.items() if kind(one.annotation).startswith("number")]
    for key, ends in found.ranges.items():
        where = f"{place(path)}: ranges: {key}"
        if key not in real:
            raise ParameterError(f"{where} is no real number of a recipe; {suggestion(key, real)}")
        for limit in (ends.low, ends.high):
            recipes.check({key: limit}, f"{where}: ")
    return found


def documentation() -> str:
    """docs/parameters.md: every key of every file in params/, from the models themselves."""
    parts = {
        "params/profiles/": Profile.model_fields,
        "params/networks/": Network.model_fields,
        "`fine_tuning` in params/networks/": FineTuning.model_fields,
        "params/recipes/": recipes.FIELDS,
        "params/aggregates.yaml, by the aggregate's name": Aggregate.model_fields,
        "params/changes.yaml, by the change's key": Change.model_fields,
        "params/searches/": Search.model_fields,
        "`ranges` in params/searches/": Range.model_fields,
    }
    tables = [f"## {title}\n\n{explained(fields)}" for title, fields in parts.items()]
    return "\n\n".join([INTRODUCTION, *tables]) + "\n"


INTRODUCTION = """# Parameters

Every key of every file in `params/`, from the models in `fercore/config` that check them: a test
holds this page to them. A misspelt key, a value of another type or out of range is one line before
anything runs. A recipe may name another as `extends`: it then says only what differs. Parameters of
notebooks stand, each with a comment, in the notebooks' first code cell; a profile's `parameters`
replace them."""


def _file(folder: str, name: str) -> Path:
    if name not in _names(folder):
        what = {"profiles": "profile", "networks": "network", "searches": "search"}[folder]
        near = suggestion(name, _names(folder))
        raise ParameterError(f"{what} {shown(name)}: no such file in params/{folder}/; {near}")
    return paths.PARAMS / folder / f"{name}.yaml"


def _names(folder: str) -> list[str]:
    return sorted(path.stem for path in (paths.PARAMS / folder).glob("*.yaml"))


def _entries(path: Path) -> dict[str, dict]:
    entries = read_yaml(path)
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise ParameterError(
                f"{place(path)}: {name} is {shown(entry)}, keys with values expected"
            )
    return entries
