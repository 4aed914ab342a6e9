"""The parts of the networks: convolution with batch normalisation, squeeze-and-excitation, the residual block.

Stock Keras layers, but for grouped convolutions that are to be trained. Feature maps are
`(batch, height, width, channels)`.
"""

from __future__ import annotations

import keras

from tuner.models.config import ModelConfig
from tuner.models.grouped import GroupedConv2D
from tuner.models.plan import OPEN_BIAS, Convolution, Gate, ResidualBlock

__all__ = ["convolve", "normalize", "residual_block", "squeeze_excite"]

_SQUEEZES = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}


def squeeze_excite(
    x: keras.KerasTensor,
    *,
    ratio: int,
    use_bias: bool,
    name: str,
    squeeze: str = "avg",
    excitation: str = "sigmoid",
) -> keras.KerasTensor:
    """Scales each channel by a gate that sees a summary of all channels.

    Args:
        x: Feature map, `(batch, height, width, channels)`.
        ratio: Channels per unit of the gate's hidden layer (r in the paper), >= 1; at least one unit remains.
        use_bias: Whether the two dense layers have a bias; the paper writes none in eq. 3, its networks have both. That
            of the second begins with `OPEN_BIAS`.
        name: Prefix of the layer names.
        squeeze: The summary of a channel, its mean ("avg") or its largest value ("max").
        excitation: Activation that ends the gate: "sigmoid", "tanh" or "relu".

    Returns:
        The gated feature map, of the shape of `x`.

    Raises:
        ValueError: If `ratio` is less than 1, or `squeeze` or `excitation` is another.

    Reference: Hu et al., 2018, https://arxiv.org/abs/1709.01507, eq. 2-4, tables 11 and 12.
    """
    if ratio < 1:
        raise ValueError(f"squeeze_excite: received ratio={ratio!r}, allowed is a whole number >= 1.")
    for argument, received, known in (("squeeze", squeeze, _SQUEEZES), ("excitation", excitation, OPEN_BIAS)):
        if received not in known:
            allowed = " or ".join(map(repr, known))
            raise ValueError(f"squeeze_excite: received {argument}={received!r}, allowed is {allowed}.")
    gate = Gate(x.shape[-1], ratio)
    scale = _SQUEEZES[squeeze](name=f"{name}_squeeze")(x)
    scale = keras.layers.Dense(gate.units, activation="relu", use_bias=use_bias, name=f"{name}_reduce")(scale)
    scale = keras.layers.Dense(
        gate.channels,
        activation=excitation,
        use_bias=use_bias,
        bias_initializer=keras.initializers.Constant(OPEN_BIAS[excitation]),
        name=f"{name}_expand",
    )(scale)
    scale = keras.layers.Reshape((1, 1, gate.channels), name=f"{name}_gate")(scale)
    return keras.layers.Multiply(name=f"{name}_scale")([x, scale])


def residual_block(
    x: keras.KerasTensor, block: ResidualBlock, *, config: ModelConfig, for_export: bool = False
) -> keras.KerasTensor:
    """Adds a residual branch to its shortcut; one of both, or their sum, may have a gate.

    Args:
        x: Feature map, `(batch, height, width, channels)`.
        block: The block's convolutions and gate and its name, the prefix of the layer names.
        config: The network that the block belongs to.
        for_export: Whether there are stock layers only, and none that only training needs.

    Returns:
        A feature map, `(batch, ceil(height / stride), ceil(width / stride), filters of the last convolution)`.

    Reference: He et al., 2015, https://arxiv.org/abs/1512.03385, figures 2 and 5; Hu et al., 2018, figures 3 and 5.
    """
    branch = _gate(x, block, config, position="pre")
    for number, convolution in enumerate(block.branch, start=1):
        name = f"{block.name}_conv{number}"
        branch = convolve(branch, convolution, use_bias=config.conv_bias, name=name, for_export=for_export)
        branch = normalize(branch, config=config, name=f"{block.name}_norm{number}")
        if number < len(block.branch):
            branch = keras.layers.ReLU(name=f"{block.name}_relu{number}")(branch)
        if number == len(block.branch) - 1:
            branch = _gate(branch, block, config, position="inner")
    branch = _gate(branch, block, config, position="standard")
    if config.stochastic_depth and not for_export:
        # The whole branch of an image or nothing of it.
        rate, shape = config.stochastic_depth * block.drop_share, (None, 1, 1, 1)
        branch = keras.layers.Dropout(rate, noise_shape=shape, name=f"{block.name}_drop")(branch)
    shortcut = _project(x, block, config) if block.projection else x
    shortcut = _gate(shortcut, block, config, position="identity")
    x = keras.layers.Add(name=f"{block.name}_add")([shortcut, branch])
    x = keras.layers.ReLU(name=f"{block.name}_relu")(x)
    return _gate(x, block, config, position="post")


def convolve(
    x: keras.KerasTensor,
    convolution: Convolution,
    *,
    use_bias: bool,
    name: str,
    padding: str = "same",
    for_export: bool = False,
) -> keras.KerasTensor:
    """Applies one convolution, initialised for the ReLU behind it (He et al., 2015, https://arxiv.org/abs/1502.01852).

    Args:
        x: Feature map, `(batch, height, width, channels)`.
        convolution: Kernel size, filters, stride and groups.
        use_bias: Whether the convolution has a bias.
        name: The layer's name.
        padding: "same", or "valid" where the caller has padded.
        for_export: Whether a grouped convolution is Keras's own layer, which is slow but loads everywhere.

    Returns:
        A feature map with `convolution.filters` channels.
    """
    stride = convolution.stride
    if convolution.kernel == 1 and stride > 1:
        # TensorFlow 2.21 corrupts its memory in the filter gradient of a strided 1x1 convolution on a CPU (oneDNN; most
        # odd batches crash). Dropping the pixels first that the convolution would skip gives the same numbers.
        x = keras.layers.MaxPooling2D(1, strides=stride, name=f"{name}_subsample")(x)
        stride = 1
    kind = keras.layers.Conv2D if for_export or convolution.groups == 1 else GroupedConv2D
    layer = kind(
        convolution.filters,
        convolution.kernel,
        strides=stride,
        groups=convolution.groups,
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


def _gate(x: keras.KerasTensor, block: ResidualBlock, config: ModelConfig, *, position: str) -> keras.KerasTensor:
    """Returns `x` gated where the block has its gate at this position, else as it is."""
    if block.gate is None or config.se_position != position:
        return x
    return squeeze_excite(
        x,
        ratio=block.gate.ratio,
        use_bias=config.se_bias,
        name=f"{block.name}_se",
        squeeze=config.squeeze,
        excitation=config.excitation,
    )
