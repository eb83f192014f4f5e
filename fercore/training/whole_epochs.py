"""Epochs of training on a GPU, each one compiled program: with Keras's JAX backend.

Keras starts every step from Python and then waits for its loss: a small network leaves a GPU idle
most of the time. Here the batches of an epoch are sent to it at once, made while it is busy with
those of the epoch before, and one program goes through them (`jax.lax.scan`).
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import keras
import numpy as np

RATE = 1  # place of the learning rate among an optimizer's variables


class WholeEpochs:
    """Trains a compiled `model` on what `batches(epoch)` yields: ({input name: array [b, ...]},
    targets [b, classes]), as many each epoch. A last batch that is smaller than the others is left
    out: its shape would be a second program. At the end of `with` nothing more is made, and what
    was is given up.
    """

    def __init__(self, model: keras.Model, batches: Callable[[int], Iterable[tuple]]):
        import jax

        self._model, self._batches = model, batches
        self._program = jax.jit(
            lambda state, steps: jax.lax.scan(self._step, state, steps), donate_argnums=0
        )
        self._worker = ThreadPoolExecutor(1)
        self._ahead: dict[int, Future] = {}

    def __enter__(self) -> "WholeEpochs":
        return self

    def __exit__(self, *_) -> None:
        self._worker.shutdown(cancel_futures=True)
        self._ahead.clear()

    def train(self, epoch: int, rates: Sequence[float], *, last: bool) -> tuple[float, float]:
        """Train for `epoch`, step k at learning rate `rates[k]`; mean accuracy and loss over its
        examples.

        `last`: no epoch follows, whose batches would be made meanwhile.
        """
        import jax

        steps = self._stacked(epoch).result()
        if not last:
            self._ahead = {epoch + 1: self._stacked(epoch + 1)}
        inputs, targets = jax.device_put(steps)
        model = self._model
        kept = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
        state = tuple([variable.value for variable in group] for group in kept)
        rates = np.asarray(rates[: len(targets)], np.float32)
        state, (accuracies, losses) = self._program(state, (inputs, targets, rates))
        for group, values in zip(kept, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return float(accuracies.mean()), float(losses.mean())

    def _stacked(self, epoch: int) -> Future:
        """The batches of an epoch, each input and the targets [steps, b, ...]."""
        return self._ahead.pop(epoch, None) or self._worker.submit(_stack, self._batches, epoch)

    def _step(self, state: tuple, batch: tuple) -> tuple:
        import jax

        trainable, others, slots = state
        inputs, targets, rate = batch

        def loss(trainable):
            outputs, after, penalties = self._model.stateless_call(
                trainable, others, inputs, training=True, return_losses=True
            )
            return self._model.loss(targets, outputs) + sum(penalties), (outputs, after)

        (value, (outputs, others)), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
        slots = [*slots[:RATE], rate, *slots[RATE + 1 :]]
        trainable, slots = self._model.optimizer.stateless_apply(slots, gradients, trainable)
        accuracy = (outputs.argmax(-1) == targets.argmax(-1)).mean()
        return (trainable, others, slots), (accuracy, value)


def _stack(batches: Callable[[int], Iterable[tuple]], epoch: int) -> tuple[dict, np.ndarray]:
    drawn = list(batches(epoch))
    whole = [batch for batch in drawn if len(batch[1]) == len(drawn[0][1])]
    inputs = {name: np.stack([x[name] for x, _ in whole]) for name in drawn[0][0]}
    return inputs, np.stack([targets for _, targets in whole])
