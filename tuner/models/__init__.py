"""Networks with squeeze-and-excitation, as plain numbers (`ModelConfig`, `BackboneConfig`) and as Keras models.

    config = preset("se_resnet18", input_shape=(32, 32, 3), classes=10, stem="small", width=16)
    cost(config).macs  # known before anything is built
    model = build_model(config)

    config = BackboneConfig(backbone="MobileNetV2", input_shape=(32, 32, 3), classes=10, se_ratio=16)
    model = build_model(config)

    model = build("senet154", input_shape=(224, 224, 3), classes=1000)  # a family without a ModelConfig
    count(model).macs
    model = add_se(keras.applications.ResNet50(), ratio=16, after="residual")  # SE in any network

Nothing here compiles, trains or knows of hyperparameters. Importing this package imports no TensorFlow; what needs it
is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tuner.models.backbone import BackboneConfig
from tuner.models.config import ModelConfig
from tuner.models.cost import Cost
from tuner.models.kinds import AnyConfig, build_model, cost
from tuner.models.presets import build, preset

if TYPE_CHECKING:
    from tuner.models.blocks import squeeze_excite
    from tuner.models.counting import count
    from tuner.models.insertion import add_se
    from tuner.models.stock import with_stock_layers

__all__ = [
    "AnyConfig",
    "BackboneConfig",
    "Cost",
    "ModelConfig",
    "add_se",
    "build",
    "build_model",
    "cost",
    "count",
    "preset",
    "squeeze_excite",
    "with_stock_layers",
]

_KERAS = {
    "add_se": "insertion",
    "count": "counting",
    "squeeze_excite": "blocks",
    "with_stock_layers": "stock",
}


def __getattr__(name: str) -> Any:
    if name in _KERAS:
        return getattr(import_module(f"tuner.models.{_KERAS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
