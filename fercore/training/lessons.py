"""What the notebooks that train share, in the order in which they show it."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.config.recipes import Recipe
from fercore.data import datasets
from fercore.evaluation import scoring, tables
from fercore.evaluation.scoring import Scored
from fercore.models import registry
from fercore.plots import result_figures, style
from fercore.training import experiments, prediction, trainer
from fercore.training.experiments import Experiment, Parts
from fercore.training.loading import TrainingError

EDITED = "_edited"  # ends the name of a network that a reader has changed
REPLAYED = 300  # faces of each usage that illustrate a replay
TINY = 1e-3  # learning rate of a step that only measures the gradient
Batch = tuple[dict[str, np.ndarray], np.ndarray]
FIELDS: dict = Recipe.__pydantic_fields__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Committed:
    """A run in outputs/published, with its validation predictions in one view and averaged over
    views. Of its history only epoch and val_accuracy are always known."""

    title: str
    record: dict
    history: pd.DataFrame
    plain: Scored
    averaged: Scored


def read(network: str, *, replay: bool, split: str, **given) -> Experiment:
    """`experiments.read`; for a replay with few faces, the run's recipe and no teachers. Raises
    `TrainingError` where there is no committed run."""
    if not replay:
        return experiments.read(network, split=split, **given)
    kept = {key: given[key] for key in ("seed", "profile", "data") if key in given}
    experiment = experiments.read(network, split=split, subset=REPLAYED, **kept)
    if (ran := committed(experiment)) is None:
        raise TrainingError(f"{network}: no committed run to replay; set replay = False")
    known = {key: one for key, one in experiment.settings.items() if key != "teachers"}
    followed = Recipe(**ran.record.get("recipe_parameters", vars(experiment.recipe)))
    return replace(experiment, settings=known, recipe=followed)


def recipe(experiment: Experiment) -> Styler:
    """The values of the recipe that take effect, each with what it means."""
    used, given = vars(experiment.recipe), parameters.network(experiment.network)
    effective = {
        "soft_share": {"teachers", "soft_labels"} & given.keys(),
        "small_share": used["small_side"],
        "warmup": used["schedule"] == "one_cycle",
        **dict.fromkeys(("decay", "decay_steps"), used["schedule"] == "exponential"),
        **dict.fromkeys((key for key in used if "descriptor" in key), len(given["inputs"]) > 1),
    }
    fields = {key: one for key, one in FIELDS.items() if used[key] and effective.get(key, True)}
    rows = [(key, str(used[key]), one.description.replace("`", "")) for key, one in fields.items()]
    table = tables.styled(pd.DataFrame(rows, columns=["key", "value", "meaning"]))
    left = pd.DataFrame("words", table.index, table.columns)  # as the style of pages calls them
    return table.set_td_classes(left).hide(axis="columns")


def source(builder: Callable) -> Markdown:
    """Python source of a network's builder and of the functions of fercore.models that it calls."""
    found = [builder]
    for function in found:
        module = vars(inspect.getmodule(function))
        called = filter(inspect.isfunction, map(module.get, function.__code__.co_names))
        ours = [one for one in called if one.__module__.startswith("fercore.models")]
        found += [one for one in dict.fromkeys(ours) if one not in found]
    return Markdown("```python\n" + "\n\n".join(map(inspect.getsource, found)) + "```")


def build(
    experiment: Experiment, network: Callable[..., keras.Model], model_file: str | None = None
) -> tuple[Experiment, keras.Model]:
    """The experiment, under a name of its own where `network` builds other layers than the study's,
    and its model, or the trained one in `model_file`."""
    study = replace(experiment, network=experiment.network.removesuffix(EDITED))
    model = experiments.build(study, model_file)
    if model_file or "model" in study.settings:
        return study, model
    registry.NETWORKS[EDITED] = network
    own = experiments.build(replace(study, settings=study.settings | {"base": EDITED}))
    same = trainer.structure(own) == trainer.structure(model)
    return study if same else replace(study, network=study.network + EDITED), own


def batch(experiment: Experiment, model: keras.Model, parts: Parts) -> Batch:
    """What the first step of training is given: inputs by name, targets float32 [b, c]."""
    recipe, seed = experiment.recipe, experiment.seed
    return prediction.Batches(parts.train, recipe, model, seed=seed, copies=parts.copies)[0]


def one_step(model: keras.Model, batch: Batch, recipe: Recipe) -> pd.Series:
    """The loss of a batch, one step against its gradient, the loss of the same batch again, by a
    copy of the model without dropout. The step would take a tenth off a loss that fell in a
    straight line."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    copy.compile(keras.optimizers.SGD(TINY), recipe.loss, run_eagerly=True)
    weights = copy.trainable_variables
    before = [np.array(one) for one in weights]
    # returns the loss, and moves each weight by TINY times its gradient
    first = float(copy.train_on_batch(*batch))
    gradient = [(old - np.array(one)) / TINY for old, one in zip(before, weights, strict=True)]
    norm = float(np.sqrt(sum((one**2).sum() for one in gradient)))
    rate = 0.1 * first / norm**2
    for one, old, slope in zip(weights, before, gradient, strict=True):
        one.assign(old - rate * slope)
    copy.reset_metrics()
    even = np.log(2 if recipe.loss == "binary_crossentropy" else batch[1].shape[-1])
    found = {"loss if all classes were equally likely": even, "loss before the step": first}
    found |= {"norm of the gradient": norm, "learning rate": rate}
    found |= {"loss after the step": float(copy.train_on_batch(*batch))}
    return pd.Series(found, name="one step")


def fit(experiment: Experiment, model: keras.Model, parts: Parts) -> pd.DataFrame | None:
    """`experiments.fit` with one line per epoch."""

    def line(epoch: int, logs: dict) -> None:
        train = "training {accuracy:.1%} right, loss {loss:.3f}"
        validation = "validation {val_accuracy:.1%} right, loss {val_loss:.3f}"
        print(f"epoch {epoch + 1:2}: {train}; {validation}".format(**logs))

    each = keras.callbacks.LambdaCallback(on_epoch_end=line)
    return experiments.fit(experiment, model, parts, callbacks=[each])


def committed(experiment: Experiment) -> Committed | None:
    """The committed run of the experiment's network, of the same split and seed if there is one."""
    run = scoring.Run("published", paths.outputs("published"), datasets.facts())
    name, place = experiment.network.removesuffix(EDITED), (experiment.split, experiment.seed)
    keys = [key for key in artifacts.list_predictions(run.folder) if key[1] == name]
    if not keys:
        return None
    split, _, seed = min(keys, key=lambda key: (key[0] != place[0], key[2] != place[1], key))
    record = artifacts.read_record(run.folder, split, name, seed)
    file = artifacts.history_path(run.folder, split, name, seed)
    kept = pd.DataFrame({"val_accuracy": record.get("validation_accuracy", ())})
    history = pd.read_csv(file) if file.exists() else kept.assign(epoch=kept.index + 1)
    ways = (scoring.score(run, split, name, seed, part="validation", tta=t) for t in (False, True))
    return Committed(f"committed run ({split}, seed {seed})", record, history, *ways)


def curves(history: pd.DataFrame | None, committed: Committed | None) -> Figure:
    """Accuracy and loss by epoch of this run, if any, over those of the committed one."""
    runs = {} if history is None else {"this run": history}
    if committed is not None:
        columns = ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
        runs |= {committed.title: committed.history.reindex(columns=columns)}
    return style.learning_curves(runs)


def gap(history: pd.DataFrame, whose: str) -> Markdown:
    """How much better a run is on augmented training faces than on validation faces."""
    best = artifacts.best_epoch(history)
    seen, unseen = 100 * best.get("accuracy", np.nan), 100 * best.val_accuracy
    text = f"The {whose} was best in epoch {best.epoch:.0f} of {len(history)}: {unseen:.1f} % of "
    text += "the validation faces right in one view"
    apart = f" and {seen:.1f} % of the augmented training faces. The generalisation gap: "
    missing = "; what it reached on training faces was not kept."
    return Markdown(
        text
        + (missing if np.isnan(seen) else f"{apart}{round(seen, 1) - round(unseen, 1):.1f} points.")
    )


def validate(
    experiment: Experiment, model: keras.Model, parts: Parts, history: pd.DataFrame | None
) -> tuple[Scored, Scored]:
    """Predict, `experiments.save`; validation predictions in one view, and views averaged."""
    found = experiments.save(experiment, model, parts, history).of(artifacts.VALIDATION)
    faces, where = experiment.faces, experiment.partition.validation
    known = experiment.split, faces, where, faces.labels[where]
    return Scored(*known, found[0]), Scored(*known, found[1])


def with_pixels(scored: Scored, data: str | None) -> Scored:
    """Committed predictions with the faces' pixels, where all of FER2013 is at hand."""
    known = datasets.load(data)
    places = pd.Index(known.row_ids).get_indexer(scored.faces.row_ids)
    if not known.is_fer2013 or (places < 0).any():
        return scored
    return replace(scored, faces=replace(scored.faces, images=known.images[places]))


def largest_confusion(scored: Scored) -> Markdown:
    """The two expressions that are confused most often."""
    counts, names = scored.matrix, scored.faces.class_names
    wrong, totals = counts - np.diag(np.diag(counts)), counts.sum(1)
    one, other = np.unravel_index(wrong.argmax(), wrong.shape)
    most, faces = wrong[one, other], totals[one]
    share = f"{most:,} of {faces:,} ({100 * most / faces:.0f} %)"
    text = f"The largest confusion: of the faces labelled {names[one]}, {share} are predicted to be"
    back = f"the other way round {wrong[other, one]:,} of {totals[other]:,}"
    return Markdown(f"{text} {names[other]}; {back}.")


def mistakes(scored: Scored, number: int = 10) -> Figure | Styler:
    """The most probable of the wrong predictions: faces, or rows in fer2013.csv without pixels."""
    wrong, highest = np.flatnonzero(~scored.right), scored.probabilities.max(1)
    worst = wrong[np.argsort(-highest[wrong], kind="stable")[:number]]
    faces, names = scored.faces.select(scored.positions[worst]), scored.faces.class_names
    found = scored.probabilities[worst]
    if faces.has_pixels:
        return result_figures.predictions(faces.images, faces.labels, found, names, columns=5)
    rows = {"row of fer2013.csv": faces.row_ids, "label": np.array(names)[faces.labels]}
    rows |= {"predicted": np.array(names)[found.argmax(1)], "probability": found.max(1)}
    missing = "FER2013's pixels are not at hand: rows of fer2013.csv in place of faces"
    return tables.styled(pd.DataFrame(rows)).format({"probability": "{:.0%}"}).set_caption(missing)


def family(networks: Sequence[str]) -> pd.DataFrame:
    """Committed accuracies beside the published ones, as text: one row per network and split."""
    results, systems = table("results"), {parameters.network(one)["system"] for one in networks}
    rows = pd.concat([tables.of_system(results, system) for system in sorted(systems)])
    shown = ["network", "split", "published test", "test", "views averaged", "training"]
    return rows.loc[rows.network.isin(networks), shown].reset_index(drop=True)


def gains(networks: Sequence[str]) -> pd.DataFrame:
    """Rows of the committed changes.csv between two of these networks."""
    changes = table("changes")
    both = changes.before.isin(networks) & changes.after.isin(networks)
    return changes[both].reset_index(drop=True)


def table(name: str) -> pd.DataFrame:
    """A committed table, such as results."""
    return pd.read_csv(paths.outputs("published") / "tables" / f"{name}.csv")
