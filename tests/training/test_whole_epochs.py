"""An epoch as one program on a GPU learns what the same steps learn one by one. Runs where Keras
has JAX, in a process of its own: here the backend is TensorFlow."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json
import threading
import numpy as np
from fercore.config import recipes
from fercore.training import devices, trainer
from fercore.training.prediction import Examples

random = np.random.default_rng(0)
faces = random.integers(0, 255, (100, 48, 48), dtype=np.uint8)
train = Examples(faces, random.integers(0, 7, 100), {})
validation = train.select(np.arange(20))
recipe = recipes.read("large", epochs=3, batch_size=25, precision="float32", crop=None, ema_momentum=0.5)
stepwise = trainer._step_by_step
found = {}
for device in ("cpu", "gpu"):
    devices.device = lambda: device
    counted = []
    trainer._step_by_step = lambda *given: counted.append(1) or stepwise(*given)
    model = trainer.build("compact", recipe, 0, filters=(4, 4, 4, 4), dropout=0.3, input_shape=(48, 48, 1))
    history = trainer.fit(model, train, validation, recipe, seed=0)
    weights = np.concatenate([w.ravel() for w in model.get_weights()])
    found[device] = [len(counted), history.drop(columns="seconds").to_numpy().tolist(), weights.tolist()]


def give_up(row):
    raise StopIteration


try:
    trainer.fit(model, train, validation, recipe, seed=0, on_epoch=give_up)
except StopIteration:
    found["threads"] = [one.name for one in threading.enumerate() if one.name.startswith("ThreadPoolExecutor")]
recipe = recipes.read("large", epochs=1, batch_size=64, precision="float32", crop=None)
model = trainer.build("compact", recipe, 0, filters=(4, 4, 4, 4), input_shape=(48, 48, 1))
trainer.fit(model, train, validation, recipe, seed=0)
print(json.dumps(found | {"steps": int(model.optimizer.iterations)}))
"""


@pytest.fixture(scope="module")
def found():
    made = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "jax"},
    )
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout.splitlines()[-1])


def test_whole_epochs_learn_what_single_steps_learn(found):
    (stepwise, steps, step_weights), (never, epochs, epoch_weights) = found["cpu"], found["gpu"]
    assert stepwise == 3 and never == 0
    assert epochs == [pytest.approx(row, abs=1e-4) for row in steps]
    assert epoch_weights == pytest.approx(step_weights, abs=1e-4)


def test_a_training_that_is_given_up_leaves_no_thread(found):
    assert found["threads"] == []


def test_a_smaller_last_batch_is_left_out(found):
    assert found["steps"] == 1  # of 64 and 36 faces
