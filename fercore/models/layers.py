"""What the builders of networks share: blocks of layers, and four of Keras's layers that train
faster on a processor with TensorFlow (benchmarks/layers.py)."""

import keras
from keras import layers, ops

FACE = (48, 48, 1)
HE = "he_normal"  # He et al. 2015, arXiv:1502.01852
SMALL = 10  # pixels of a map's longer side

Shape = tuple[int, int, int]


@keras.saving.register_keras_serializable("fercore")
class BatchNormalization(layers.BatchNormalization):
    """Keras's layer, its training step on feature maps [b, h, w, channels] in one pass by
    TensorFlow's fused kernel. The running variance is the unbiased one, n/(n-1) times Keras's."""

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
class Conv2D(layers.Conv2D):
    """Keras's layer with quicker gradients on a processor: in float32 that of its inputs by a
    convolution with the kernel turned by 180°; on `SMALL` maps that of its kernel by products of
    matrices, for each place of the kernel the map shifted so far times the outer gradient."""

    def convolution_op(self, inputs, kernel):
        plain = {self.strides, self.dilation_rate} == {(1, 1)} and self.kernel_size != (1, 1)
        small = max(self.compute_output_shape(inputs.shape)[1:3]) <= SMALL
        quicker = _on_processor() and (small or inputs.dtype == "float32")
        if not (plain and self.groups == 1 and quicker):
            return super().convolution_op(inputs, kernel)
        return _convolution(inputs, ops.cast(kernel, inputs.dtype), self.padding.upper())


@keras.saving.register_keras_serializable("fercore")
class Dense(layers.Dense):
    """Keras's layer; in float32 on a processor the gradient of its inputs [b, n] is computed as its
    transpose, as TensorFlow is slow to multiply by the transpose of a wide kernel."""

    def call(self, inputs, training=None):
        if not (_on_processor() and self.compute_dtype == "float32"):
            return super().call(inputs, training=training)
        import tensorflow as tf

        @tf.custom_gradient
        def product(inputs, kernel):
            def gradient(upstream):
                turned = tf.matmul(kernel, upstream, transpose_b=True)
                return tf.transpose(turned), tf.matmul(inputs, upstream, transpose_a=True)

            return tf.matmul(inputs, kernel), gradient

        x = product(inputs, tf.convert_to_tensor(self.kernel))
        return self.activation(ops.add(x, self.bias) if self.use_bias else x)


@keras.saving.register_keras_serializable("fercore")
class Dropout(layers.Dropout):
    """Keras's layer (Srivastava et al. 2014), its mask drawn as whole numbers of 16 bits, two from
    a random word, in place of a float for each number. The rate is rounded to a 65,536th."""

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
    hundred steps, not Keras's five hundred, for trainings of a few epochs."""
    return BatchNormalization(momentum=0.95)(x)


def convolution(x, filters: int, size: int = 3, *, strides: int = 1, relu: bool = True):
    """A convolution, then batch normalisation and ReLU."""
    how = {"padding": "same", "use_bias": False, "kernel_initializer": HE}
    x = batch_norm(Conv2D(filters, size, strides, **how)(x))
    return layers.ReLU()(x) if relu else x


def squeeze_excitation(x, reduction: int):
    """Channels weighed by what the whole map shows (Hu, Shen, Sun 2018, arXiv:1709.01507)."""
    channels = x.shape[-1]
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    narrow = layers.Conv2D(channels // reduction, 1, activation="relu", kernel_initializer=HE)
    return layers.Multiply()([x, layers.Conv2D(channels, 1, activation="sigmoid")(narrow(pooled))])


def output(x, classes: int, activation: str = "softmax", initializer="glorot_uniform"):
    """The last layer, in float32: 'softmax' or 'sigmoid' over the classes."""
    how = {"activation": activation, "kernel_initializer": initializer, "dtype": "float32"}
    return layers.Dense(classes, name="expression", **how)(x)


def unfreeze_from(model: keras.Model, name: str) -> None:
    """Freeze all layers before `name`; it and all after it learn. Raises `ValueError`."""
    names = [layer.name for layer in model.layers]
    if name not in names:
        there = ", ".join(layer.name for layer in model.layers if layer.weights)
        raise ValueError(f"layer {name!r}: {model.name} has none of this name; there are {there}")
    for place, layer in enumerate(model.layers):
        layer.trainable = place >= names.index(name)


def _on_tensorflow() -> bool:
    return keras.backend.backend() == "tensorflow"


def _on_processor() -> bool:
    return _on_tensorflow() and not keras.distribution.list_devices("gpu")


def _convolution(inputs, kernel, padding: str):
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradient(upstream):
            (tall, wide, channels, filters), (height, width) = kernel.shape, upstream.shape[1:3]
            added = [n - 1 if padding == "SAME" else 0 for n in (tall, wide)]
            around = [[0, 0], *([n // 2, n - n // 2] for n in added), [0, 0]]
            if inputs.dtype == tf.float32:
                rest = [[tall - 1 - n for n in around[1]], [wide - 1 - n for n in around[2]]]
                turned = tf.transpose(kernel[::-1, ::-1], [0, 1, 3, 2])
                of_inputs = tf.nn.conv2d(upstream, turned, 1, [[0, 0], *rest, [0, 0]])
            else:
                of_inputs = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(inputs), 1, padding)
            if max(height, width) > SMALL:
                of_kernel = tf.compat.v1.nn.conv2d_backprop_filter
                return of_inputs, of_kernel(inputs, kernel.shape, upstream, [1] * 4, padding)
            padded, flat = tf.pad(inputs, around), tf.reshape(upstream, [-1, filters])
            shifted = [
                tf.reshape(padded[:, y : y + height, x : x + width], [-1, channels])
                for y in range(tall)
                for x in range(wide)
            ]
            of_kernel = tf.stack([tf.matmul(one, flat, transpose_a=True) for one in shifted])
            return of_inputs, tf.reshape(of_kernel, kernel.shape)

        return tf.nn.conv2d(inputs, kernel, 1, padding), gradient

    return convolve(inputs, kernel)
