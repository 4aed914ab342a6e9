"""Residual networks with squeeze-and-excitation, as plain numbers (`ModelConfig`) and as Keras models.

    config = preset("se_resnet18", input_shape=(32, 32, 3), classes=10, stem="small", width=16)
    cost(config).macs  # known before anything is built
    model = build_model(config)

Nothing here compiles, trains or knows of hyperparameters.
"""

from tuner.models.blocks import squeeze_excite
from tuner.models.config import ModelConfig
from tuner.models.cost import Cost, cost
from tuner.models.presets import build, preset
from tuner.models.resnet import build_model

__all__ = ["Cost", "ModelConfig", "build", "build_model", "cost", "preset", "squeeze_excite"]
