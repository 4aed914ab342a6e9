"""The parts of the networks: convolution with batch normalisation, squeeze-and-excitation, the residual block.

Stock Keras layers only, so that a saved model loads without this package. Feature maps are
`(batch, height, width, channels)`.
"""

from __future__ import annotations

import keras

from tuner.models.config import ModelConfig
from tuner.models.plan import Convolution, ResidualBlock, gate_units

__all__ = ["convolve", "normalize", "residual_block", "squeeze_excite"]


def squeeze_excite(x: keras.KerasTensor, *, ratio: int, use_bias: bool, name: str) -> keras.KerasTensor:
    """Scales each channel by a gate in (0, 1) that sees the means of all channels.

    Args:
        x: Feature map, `(batch, height, width, channels)`.
        ratio: Channels per unit of the gate's hidden layer (r in the paper), >= 1; at least one unit remains.
        use_bias: Whether the two dense layers have a bias; the paper writes none in eq. 3, its networks have both.
        name: Prefix of the layer names.

    Returns:
        The gated feature map, of the shape of `x`.

    Raises:
        ValueError: If `ratio` is less than 1.

    Reference: Hu et al., 2018, https://arxiv.org/abs/1709.01507, eq. 2-4.
    """
    if ratio < 1:
        raise ValueError(f"squeeze_excite: received ratio={ratio!r}, allowed is a whole number >= 1.")
    channels = x.shape[-1]
    units = gate_units(channels, ratio=ratio)
    gate = keras.layers.GlobalAveragePooling2D(name=f"{name}_squeeze")(x)
    gate = keras.layers.Dense(units, activation="relu", use_bias=use_bias, name=f"{name}_reduce")(gate)
    gate = keras.layers.Dense(channels, activation="sigmoid", use_bias=use_bias, name=f"{name}_expand")(gate)
    gate = keras.layers.Reshape((1, 1, channels), name=f"{name}_gate")(gate)
    return keras.layers.Multiply(name=f"{name}_scale")([x, gate])


def residual_block(x: keras.KerasTensor, block: ResidualBlock, *, config: ModelConfig) -> keras.KerasTensor:
    """Adds a residual branch to its shortcut.

    The gate sits at the end of the branch, before the addition (the standard SE block of the paper, section 6.5).

    Args:
        x: Feature map, `(batch, height, width, channels)`.
        block: The block's convolutions and its name, the prefix of the layer names.
        config: The network that the block belongs to.

    Returns:
        A feature map, `(batch, ceil(height / stride), ceil(width / stride), filters of the last convolution)`.

    Reference: He et al., 2015, https://arxiv.org/abs/1512.03385, figures 2 and 5; Hu et al., 2018, figure 3.
    """
    branch = x
    for number, convolution in enumerate(block.branch, start=1):
        branch = convolve(branch, convolution, use_bias=config.conv_bias, name=f"{block.name}_conv{number}")
        branch = normalize(branch, config=config, name=f"{block.name}_norm{number}")
        if number < len(block.branch):
            branch = keras.layers.ReLU(name=f"{block.name}_relu{number}")(branch)
    if config.se_ratio:
        branch = squeeze_excite(branch, ratio=config.se_ratio, use_bias=config.se_bias, name=f"{block.name}_se")
    shortcut = _project(x, block, config) if block.projection else x
    x = keras.layers.Add(name=f"{block.name}_add")([shortcut, branch])
    return keras.layers.ReLU(name=f"{block.name}_relu")(x)


def convolve(
    x: keras.KerasTensor, convolution: Convolution, *, use_bias: bool, name: str, padding: str = "same"
) -> keras.KerasTensor:
    """Applies one convolution, initialised for the ReLU behind it (He et al., 2015, https://arxiv.org/abs/1502.01852).

    Args:
        x: Feature map, `(batch, height, width, channels)`.
        convolution: Kernel size, filters and stride.
        use_bias: Whether the convolution has a bias.
        name: The layer's name.
        padding: "same", or "valid" where the caller has padded.

    Returns:
        A feature map with `convolution.filters` channels.
    """
    stride = convolution.stride
    if convolution.kernel == 1 and stride > 1:
        # TensorFlow 2.21 corrupts its memory in the filter gradient of a strided 1x1 convolution on a CPU (oneDNN; most
        # odd batches crash). Dropping the pixels first that the convolution would skip gives the same numbers.
        x = keras.layers.MaxPooling2D(1, strides=stride, name=f"{name}_subsample")(x)
        stride = 1
    layer = keras.layers.Conv2D(
        convolution.filters,
        convolution.kernel,
        strides=stride,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=name,
    )
    return layer(x)


def normalize(x: keras.KerasTensor, *, config: ModelConfig, name: str) -> keras.KerasTensor:
    """Applies batch normalisation with the momentum and epsilon of `config`."""
    layer = keras.layers.BatchNormalization(momentum=config.norm_momentum, epsilon=config.norm_epsilon, name=name)
    return layer(x)


def _project(x: keras.KerasTensor, block: ResidualBlock, config: ModelConfig) -> keras.KerasTensor:
    assert block.projection is not None
    x = convolve(x, block.projection, use_bias=config.conv_bias, name=f"{block.name}_projection")
    if config.has_projection_norm:
        x = normalize(x, config=config, name=f"{block.name}_projection_norm")
    return x
