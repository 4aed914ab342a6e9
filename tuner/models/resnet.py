"""From a `ModelConfig` to a Keras model: stem, stages, head.

Preprocessing is inside: a saved model takes raw images, and one that was built for export loads without this package.
The model is not compiled.
"""

from __future__ import annotations

import keras

from tuner.models.blocks import convolve, normalize, residual_block
from tuner.models.config import ModelConfig
from tuner.models.plan import has_stem_pool, residual_blocks, stem_convolutions

__all__ = ["build_model"]


def build_model(config: ModelConfig, *, for_export: bool = False) -> keras.Model:
    """Builds the functional model that `config` describes, with fresh weights.

    Weights come from Keras's generator: call `keras.utils.set_random_seed` before for the same ones again.

    Args:
        config: The network.
        for_export: Whether the model has stock Keras layers only, and none that only training needs: grouped
            convolutions are then Keras's own, which are slow to train, and dropout and stochastic depth are left out.
            Weights and predictions are the same.

    Returns:
        A model named `config.name` from images, `(batch, height, width, channels)`, raw when `config.mean` is given,
        to class probabilities, `(batch, classes)`, the output of its layer "predictions". They are float32 under any
        dtype policy: half a precision is too coarse for probabilities and their loss.
    """
    image = keras.Input(shape=config.input_shape, name="image")
    x = _standardize(image, config)
    x = _stem(x, config)
    for block in residual_blocks(config):
        x = residual_block(x, block, config=config, for_export=for_export)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if config.dropout and not for_export:
        x = keras.layers.Dropout(config.dropout, name="dropout")(x)
    head = keras.layers.Dense(config.classes, activation="softmax", dtype="float32", name="predictions")
    return keras.Model(image, head(x), name=config.name)


def _standardize(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    if config.mean is None or config.variance is None:
        return x
    # float32 whatever the policy: (pixel - mean) loses digits in half precision. Constants, no weights.
    layer = keras.layers.Normalization(
        mean=list(config.mean), variance=list(config.variance), dtype="float32", name="normalization"
    )
    return layer(x)


def _stem(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    for suffix, convolution in stem_convolutions(config).items():
        padding = "same"
        if convolution.stride > 1:
            # "same" would pad a stride of 2 unevenly, depending on the image size; the published stems pad all round.
            x = keras.layers.ZeroPadding2D(convolution.kernel // 2, name="stem_pad")(x)
            padding = "valid"
        x = convolve(x, convolution, use_bias=config.conv_bias, name=f"stem_conv{suffix}", padding=padding)
        x = normalize(x, config=config, name=f"stem_norm{suffix}")
        x = keras.layers.ReLU(name=f"stem_relu{suffix}")(x)
    if has_stem_pool(config):
        x = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    return x
