"""Keras's optimizers, each weight updated in one pass over memory by TensorFlow's fused kernels:
the several passes of Keras's own take a quarter of a training step with large dense layers."""

from collections.abc import Sequence

import keras
from keras import ops

from fercore.config.recipes import Recipe


def optimizer(recipe: Recipe, rates: Sequence[float]) -> keras.optimizers.Optimizer:
    """The recipe's optimizer, step k at learning rate `rates[k]`; only kernels decay."""
    averaging = {"use_ema": recipe.ema_momentum > 0, "ema_momentum": recipe.ema_momentum}
    fused = keras.backend.backend() == "tensorflow"
    if recipe.optimizer == "adam":
        made = (Adam if fused else keras.optimizers.Adam)(Schedule(rates), **averaging)
    else:
        kind = SGD if fused and recipe.momentum else keras.optimizers.SGD
        how = {"momentum": recipe.momentum, "nesterov": recipe.optimizer == "sgd"}
        made = kind(Schedule(rates), **how, **averaging)
    made.weight_decay = recipe.weight_decay or None
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return made


@keras.saving.register_keras_serializable("fercore")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of each step, the last one for all after it."""

    def __init__(self, rates: Sequence[float]):
        self.rates = [float(rate) for rate in rates]

    def __call__(self, step):
        return ops.take(ops.array(self.rates, "float32"), ops.minimum(step, len(self.rates) - 1))

    def get_config(self) -> dict:
        return {"rates": self.rates}


class _OnePass(keras.optimizers.Optimizer):
    """Weight decay in one pass: w (1 - rate × decay)."""

    def _apply_weight_decay(self, variables):
        if self.weight_decay:
            kept = 1 - self.learning_rate * self.weight_decay
            for variable in filter(self._use_weight_decay, variables):
                variable.assign(variable * ops.cast(kept, variable.dtype))


@keras.saving.register_keras_serializable("fercore")
class SGD(_OnePass, keras.optimizers.SGD):
    """Stochastic gradient descent with a momentum above 0, Nesterov's or plain."""

    def update_step(self, gradient, variable, learning_rate):
        import tensorflow as tf

        place = self._get_variable_index(variable)
        of = {"var": variable.handle, "accum": self.momentums[place].value.handle, "grad": gradient}
        rate, momentum = (ops.cast(one, gradient.dtype) for one in (learning_rate, self.momentum))
        how = {"lr": rate, "momentum": momentum, "use_nesterov": self.nesterov}
        tf.raw_ops.ResourceApplyKerasMomentum(**of, **how)


@keras.saving.register_keras_serializable("fercore")
class Adam(_OnePass, keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980); with decay AdamW (Loshchilov & Hutter 2019,
    arXiv:1711.05101)."""

    def update_step(self, gradient, variable, learning_rate):
        import tensorflow as tf

        place, dtype = self._get_variable_index(variable), gradient.dtype
        step = ops.cast(self.iterations + 1, dtype)
        values = (learning_rate, self.beta_1, self.beta_2, self.epsilon)
        rate, beta_1, beta_2, epsilon = (ops.cast(value, dtype) for value in values)
        state = {"m": self._momentums[place], "v": self._velocities[place], "var": variable}
        powers = {"beta1_power": ops.power(beta_1, step), "beta2_power": ops.power(beta_2, step)}
        how = {"lr": rate, "beta1": beta_1, "beta2": beta_2, "epsilon": epsilon, "grad": gradient}
        handles = {name: one.handle for name, one in state.items()}
        tf.raw_ops.ResourceApplyAdam(**handles, **powers, **how)
