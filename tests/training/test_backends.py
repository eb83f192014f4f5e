"""Another backend of Keras trains, and goes on where it was stopped. It has a process of its own:
here the backend is TensorFlow."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

SCRIPT = """
import json, sys
from dataclasses import replace
from pathlib import Path
import keras, numpy as np
from fercore.config import recipes
from fercore.models import layers, registry
from fercore.training import trainer
from fercore.training.prediction import Examples


def small(input_shape):
    image = keras.layers.Input(input_shape, name="image")
    x = layers.Dropout(0.3)(keras.layers.Flatten()(layers.convolution(image, 4)))
    return keras.Model({"image": image}, layers.output(x, 7), name="small")


registry.NETWORKS["small"] = small

random = np.random.default_rng(0)
faces = random.integers(0, 255, (40, 48, 48), dtype=np.uint8)
train = Examples(faces, random.integers(0, 7, 40), {})
changes = {"precision": "float32", "crop": None, "ema_momentum": 0.5, "small_side": 32}
recipe = recipes.read("study", epochs=2, batch_size=16, **changes)


def stop(epoch, logs):
    if epoch == 0:
        raise KeyboardInterrupt


def fit(**how):
    model = trainer.build("small", recipe, 0, input_shape=(48, 48, 1))
    history = trainer.fit(model, train, train.select(np.arange(20)), recipe, seed=0, **how)
    weights = np.concatenate([weights.ravel() for weights in model.get_weights()])
    return history.drop(columns="seconds").to_numpy().tolist(), weights.tolist()


whole = fit()
try:
    stopping = keras.callbacks.LambdaCallback(on_epoch_end=stop)
    fit(checkpoint=Path(sys.argv[1]), callbacks=[stopping])
except KeyboardInterrupt:
    pass
resumed = fit(checkpoint=Path(sys.argv[1]))
print(json.dumps([whole, resumed, keras.backend.backend()]))
"""


@pytest.mark.skipif(find_spec("jax") is None, reason="needs jax")
def test_jax_trains_and_goes_on(tmp_path):
    made = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "jax"},
    )
    assert made.returncode == 0, made.stderr[-2000:]
    whole, resumed, backend = json.loads(made.stdout.splitlines()[-1])
    assert backend == "jax" and whole == resumed and len(whole[0]) == 2
    assert all(0 < loss < 10 for _, _, _, loss, *_ in whole[0])
