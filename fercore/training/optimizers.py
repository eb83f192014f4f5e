"""Keras's optimizers, each weight updated in one pass over memory by TensorFlow's fused kernels.

Keras writes an update as a chain of operations, each of which reads and writes all weights: with
millions of them in dense layers that takes a quarter of a training step on a processor. Other
backends take Keras's own way.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras import ops


class _OnePass:
    """Weight decay in one pass: w (1 - rate × decay)."""

    def _apply_weight_decay(self, variables):
        if keras.backend.backend() != "tensorflow" or self.weight_decay is None:
            super()._apply_weight_decay(variables)
            return
        kept = 1 - self.learning_rate * self.weight_decay
        for variable in variables:
            if self._use_weight_decay(variable):
                variable.assign(variable * ops.cast(kept, variable.dtype))


@keras.saving.register_keras_serializable("fercore")
class SGD(_OnePass, keras.optimizers.SGD):
    """Stochastic gradient descent with momentum, Nesterov's or plain."""

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable."""
        if keras.backend.backend() != "tensorflow" or not self.momentum:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        place = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[place].value.handle,
            grad=gradient,
            use_nesterov=self.nesterov,
            lr=ops.cast(learning_rate, gradient.dtype),
            momentum=ops.cast(self.momentum, gradient.dtype),
        )


@keras.saving.register_keras_serializable("fercore")
class Adam(_OnePass, keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980); with decay AdamW (Loshchilov & Hutter 2019,
    arXiv:1711.05101)."""

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable."""
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        place, step = (
            self._get_variable_index(variable),
            ops.cast(self.iterations + 1, gradient.dtype),
        )
        rate, beta_1, beta_2, epsilon = (
            ops.cast(value, gradient.dtype)
            for value in (learning_rate, self.beta_1, self.beta_2, self.epsilon)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=ops.power(beta_1, step),
            beta2_power=ops.power(beta_2, step),
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=gradient,
        )


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Within, a compiled `model` has the mean of its weights over past steps, if its optimizer
    keeps one."""
    weights = model.get_weights() if model.optimizer.use_ema else None
    model.optimizer.finalize_variable_values(model.trainable_variables)
    if weights:
        model.set_weights(
            model.get_weights()
        )  # copies: JAX takes away the arrays that it predicts with
    try:
        yield
    finally:
        if weights:
            model.set_weights(weights)
