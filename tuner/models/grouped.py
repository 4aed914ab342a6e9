"""Convolutions that Keras's own layers train slowly, or wrongly, on a CPU: grouped ones, and 1x1 ones.

TensorFlow 2.21 has the gradients of a grouped convolution on a CPU only where oneDNN is in use, which it is on some
processors; on the others a training ends with "Gradients for grouped convolutions are not supported on CPU". Keras 3.15
therefore compiles such a convolution just in time, which takes ten times as long a step. Here the gradients are written
down in operations that every processor has.

The gradient of a strided 1x1 convolution writes outside its memory (TensorFlow 2.21 with oneDNN: most odd batches
crash), and that of any 1x1 convolution into its input turns the kernel around first: 112 ms for 1,024 channels and 16
images of one pixel on a core of an AMD EPYC, where the convolution itself takes 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["GroupedConv2D", "PointwiseConv2D", "grouped_convolution", "thinned"]


@keras.saving.register_keras_serializable(package="tuner")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with groups and channels last, with the same weights, outputs and gradients.

    Square kernels with equal strides and without dilation get the gradients of this module, others those of Keras.
    Where the files of a model must load without this package, `build_model(..., for_export=True)` has Keras's own layer
    in its place.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Returns the convolution of feature maps, `(batch, height, width, channels)`, without bias and activation."""
        if len({*self.strides}) > 1 or len({*self.kernel_size}) > 1 or {*self.dilation_rate} != {1}:
            return super().convolution_op(inputs, kernel)
        kernel = tf.convert_to_tensor(kernel)
        maps = grouped_convolution(inputs, kernel, stride=self.strides[0], padding=self.padding.upper())
        # TensorFlow would fuse a bias with the convolution, for which it has no grouped kernel.
        return tf.ensure_shape(maps, self.compute_output_shape(inputs.shape))


@keras.saving.register_keras_serializable(package="tuner")
class PointwiseConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with a 1x1 kernel, channels last, as the product of matrices that it is.

    Pixels that a stride skips are dropped first. Weights, outputs and gradients are those of Keras's layer.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Returns the convolution of feature maps, `(batch, height, width, channels)`, without bias and activation."""
        inputs = thinned(inputs, self.strides)
        _, height, width, channels = inputs.shape
        product = tf.matmul(tf.reshape(inputs, [-1, channels]), tf.reshape(kernel, [channels, self.filters]))
        return tf.reshape(product, [-1, height, width, self.filters])


def thinned(x: tf.Tensor, strides: int | Sequence[int]) -> tf.Tensor:
    """Returns feature maps without the pixels that a 1x1 convolution with these strides would skip.

    It is a mean of one pixel: the bits of a strided slice, whose gradient takes three to five times as long on a CPU.
    """
    return x if strides in (1, (1, 1)) else tf.nn.avg_pool2d(x, 1, strides, "VALID")


def grouped_convolution(x: tf.Tensor, kernel: tf.Tensor, *, stride: int = 1, padding: str = "SAME") -> tf.Tensor:
    """Convolves each group of channels with the filters of that group.

    Args:
        x: Feature maps, `(batch, height, width, groups * inputs)`; height and width are known when it is traced.
        kernel: `(size, size, inputs, groups * outputs)`; the number of groups follows from both shapes.
        stride: Step in both directions, >= 1.
        padding: "SAME" or "VALID", as TensorFlow means them.

    Returns:
        Feature maps, `(batch, height', width', groups * outputs)`.

    Reference: Xie et al., 2017, https://arxiv.org/abs/1611.05431, figure 3 (c).
    """
    if padding == "SAME":
        rows, columns = (_same_padding(x.shape[axis], kernel.shape[axis - 1], stride) for axis in (1, 2))
        x = tf.pad(x, [[0, 0], rows, columns, [0, 0]])

    @tf.custom_gradient
    def convolve(
        x: tf.Tensor, kernel: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        def gradients(above: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return _into_maps(above, x, kernel, stride=stride), _into_kernel(above, x, kernel, stride=stride)

        return tf.nn.conv2d(x, kernel, stride, "VALID"), gradients

    return convolve(x, kernel)


def _same_padding(pixels: int, size: int, stride: int) -> list[int]:
    """Returns the zeros before and after, as TensorFlow's "SAME" has them."""
    total = max(0, (-(-pixels // stride) - 1) * stride + size - pixels)
    return [total // 2, total - total // 2]


def _into_maps(above: tf.Tensor, x: tf.Tensor, kernel: tf.Tensor, *, stride: int) -> tf.Tensor:
    """Returns the gradient of the feature maps: that above, spread by the stride, convolved with the turned kernel."""
    size, groups = kernel.shape[0], tf.shape(x)[3] // tf.shape(kernel)[2]
    rows, columns = above.shape[1], above.shape[2]
    if stride > 1:
        spread = tf.pad(
            above[:, :, tf.newaxis, :, tf.newaxis, :],
            [[0, 0], [0, 0], [0, stride - 1], [0, 0], [0, stride - 1], [0, 0]],
        )
        above = tf.reshape(spread, [-1, rows * stride, columns * stride, tf.shape(above)[3]])
        rows, columns = (rows - 1) * stride + 1, (columns - 1) * stride + 1
        above = above[:, :rows, :columns, :]
    # The last pixels of x that no kernel reached get zeros.
    around = [
        [size - 1, size - 1 + x.shape[axis] - (reached + size - 1)] for axis, reached in ((1, rows), (2, columns))
    ]
    inputs, outputs = tf.shape(kernel)[2], tf.shape(kernel)[3] // groups
    turned = tf.reshape(kernel[::-1, ::-1], [size, size, inputs, groups, outputs])
    turned = tf.reshape(tf.transpose(turned, [0, 1, 4, 3, 2]), [size, size, outputs, groups * inputs])
    return tf.nn.conv2d(tf.pad(above, [[0, 0], *around, [0, 0]]), turned, 1, "VALID")


def _into_kernel(above: tf.Tensor, x: tf.Tensor, kernel: tf.Tensor, *, stride: int) -> tf.Tensor:
    """Returns the gradient of the kernel: for each of its pixels the products of what met there, summed."""
    size, inputs = kernel.shape[0], tf.shape(kernel)[2]
    groups = tf.shape(x)[3] // inputs
    rows, columns = ((above.shape[axis] - 1) * stride + 1 for axis in (1, 2))
    pixels = [
        tf.reshape(x[:, row : row + rows : stride, column : column + columns : stride, :], [-1, groups, inputs])
        for row in range(size)
        for column in range(size)
    ]
    outputs = tf.shape(kernel)[3] // groups
    products = tf.einsum("ngi,ngo->gio", tf.concat(pixels, axis=2), tf.reshape(above, [-1, groups, outputs]))
    products = tf.reshape(products, [groups, size, size, inputs, outputs])
    return tf.reshape(tf.transpose(products, [1, 2, 3, 0, 4]), tf.shape(kernel))
