"""What the builders of networks share: blocks of layers, and two of Keras's layers whose training
steps are faster on a processor: benchmarks/layers.py says by how much. Other backends take Keras's
own way."""

import keras
from keras import layers, ops

FACE = (48, 48, 1)
HE = "he_normal"  # He et al. 2015, arXiv:1502.01852

Shape = tuple[int, int, int]

# Models saved before name their convolutions so.
keras.saving.get_custom_objects()["fercore>Conv2D"] = layers.Conv2D


@keras.saving.register_keras_serializable("fercore")
class BatchNormalization(layers.BatchNormalization):
    """Keras's layer, its training step on feature maps [b, h, w, channels] computed by TensorFlow's
    fused kernel.

    Keras casts the maps to float32 and passes over them several times; the kernel reads them once,
    in bfloat16 too, and sums in float32. The running variance is the unbiased one, n/(n-1) times
    Keras's.
    """

    def call(self, inputs, training=None, mask=None):
        maps = len(inputs.shape) == 4 and _on_tensorflow()
        if not (training and self.trainable and maps):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            ops.cast(inputs, self.compute_dtype), self.gamma, self.beta, epsilon=self.epsilon
        )
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(self.momentum * average + (1 - self.momentum) * value)
        return outputs


@keras.saving.register_keras_serializable("fercore")
class Dropout(layers.Dropout):
    """Keras's layer (Srivastava et al. 2014), its mask drawn as whole numbers of 16 bits, two from
    a random word.

    Keras draws a float for each number of a map. The rate is rounded to a 65,536th.
    """

    def call(self, inputs, training=False):
        if not (training and self.rate and self.noise_shape is None and _on_tensorflow()):
            return super().call(inputs, training=training)
        import tensorflow as tf

        shape, dropped = tf.shape(inputs), round(self.rate * 2**16)
        size = tf.reduce_prod(shape)
        words = tf.random.stateless_uniform(
            [(size + 1) // 2], self.seed_generator.next(), minval=None, maxval=None, dtype=tf.uint32
        )
        drawn = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:size], shape)
        kept = tf.cast(drawn >= tf.constant(dropped, tf.uint16), inputs.dtype)
        return inputs * (kept * tf.cast(1 / (1 - dropped / 2**16), inputs.dtype))


def batch_norm(x):
    """Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167). Its averages follow the last
    hundred steps, not Keras's five hundred: a training of a few epochs is otherwise judged by
    weights it no longer has."""
    return BatchNormalization(momentum=0.95)(x)


def convolution(x, filters: int, size: int = 3):
    """Convolution, batch normalisation, ReLU."""
    x = layers.Conv2D(filters, size, padding="same", use_bias=False, kernel_initializer=HE)(x)
    return layers.ReLU()(batch_norm(x))


def squeeze_excitation(x, reduction: int):
    """Channels weighed by what the whole map shows (Hu, Shen, Sun 2018, arXiv:1709.01507)."""
    channels = x.shape[-1]
    weights = layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = layers.Conv2D(channels // reduction, 1, activation="relu", kernel_initializer=HE)(
        weights
    )
    return layers.Multiply()([x, layers.Conv2D(channels, 1, activation="sigmoid")(weights)])


def output(x, classes: int, activation: str = "softmax", initializer="glorot_uniform"):
    """The last layer, float32 whatever the precision: 'softmax' or 'sigmoid' over the classes."""
    return layers.Dense(
        classes,
        activation=activation,
        kernel_initializer=initializer,
        dtype="float32",
        name="expression",
    )(x)


def learn_from(model: keras.Model, name: str) -> None:
    """Let the layer `name` and all after it learn; those before it stay as they are. Raises
    `ValueError`."""
    names = [layer.name for layer in model.layers]
    if name not in names:
        with_weights = ", ".join(layer.name for layer in model.layers if layer.weights)
        raise ValueError(
            f"layer {name!r}: {model.name} has none of this name; there are {with_weights}"
        )
    for place, layer in enumerate(model.layers):
        layer.trainable = place >= names.index(name)


def _on_tensorflow() -> bool:
    return keras.backend.backend() == "tensorflow"
