"""What networks are computed on, and in which precision."""

import os
from pathlib import Path

import keras

from fercore.config.recipes import Recipe


def precision(recipe: Recipe) -> str:
    """'bfloat16' or 'float32'. Precision 'auto' is bfloat16 where the processor multiplies in it,
    or on a GPU."""
    if recipe.precision != "auto":
        return recipe.precision
    return "bfloat16" if device() == "gpu" or _processor_has_bfloat16() else "float32"


def device() -> str:
    """'gpu' when Keras's backend sees one, else 'cpu'."""
    if keras.backend.backend() == "torch":  # for which keras.distribution has no devices
        import torch

        return "gpu" if torch.cuda.is_available() else "cpu"
    if (
        keras.backend.backend() == "jax"
    ):  # which fails when asked for the devices of a kind that is not there
        import jax

        return "gpu" if jax.default_backend() == "gpu" else "cpu"
    return "gpu" if keras.distribution.list_devices("gpu") else "cpu"


def gpu_name() -> str:
    """The GPU that Keras's backend computes on, as its maker calls it."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name()
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    import tensorflow as tf

    return tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])[
        "device_name"
    ]


def _processor_has_bfloat16() -> bool:
    """Whether Linux lists bfloat16 multiplication among the processor's flags; elsewhere False."""
    if not os.path.exists("/proc/cpuinfo"):
        return False
    flags = Path("/proc/cpuinfo").read_text()
    return "avx512_bf16" in flags or "amx_bf16" in flags
