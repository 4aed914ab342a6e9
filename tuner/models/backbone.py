"""A network of `keras.applications` with a classifier of ours, as plain numbers: what `config` is for ResNets.

The names and the smallest images stand here, because a wrong flag must not wait for TensorFlow; a test holds both to
what Keras has. The network itself is built in `trunk`. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tuner.errors import UsageError, did_you_mean
from tuner.quantities import is_whole

__all__ = ["BACKBONES", "RULES", "RULE_NAMES", "BackboneConfig", "backbone_name", "spelled_backbone"]

_EDGES = {
    32: (
        *("ConvNeXtTiny", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge"),
        *("DenseNet121", "DenseNet169", "DenseNet201"),
        *(f"EfficientNetB{size}" for size in range(8)),
        *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        *("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large"),
        *("NASNetMobile", "NASNetLarge"),
        *("ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2"),
        *("VGG16", "VGG19"),
    ),
    71: ("Xception",),
    75: ("InceptionV3", "InceptionResNetV2"),
}
# Every constructor of `keras.applications`, with the edge of the smallest image that it takes, in pixels.
BACKBONES = {name: edge for edge, names in _EDGES.items() for name in names}

# Where `add_se` puts gates by itself, and what a space may ask for: "auto" is the first that finds a place.
RULES = ("residual", "concatenation", "activation")
RULE_NAMES = ("auto", *RULES)


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """A network of `keras.applications` with or without squeeze-and-excitation, from fresh weights.

    Attributes:
        backbone: Name of its constructor, one of `BACKBONES`.
        input_shape: Image shape, `(height, width, channels)`; height and width at least what `BACKBONES` says.
        classes: Number of classes, >= 2.
        se_ratio: Channels per gate unit (r in the paper), >= 1, or 0 for no squeeze-and-excitation.
        se_after: Where the gates go, one of `RULE_NAMES`; "auto" is the first rule that finds a place. Without gates it
            means nothing.
        dropout: Chance that a feature is left out before the classifier in training, 0 <= p < 1.
        norm_momentum: Share of the old moving statistics that batch normalisation keeps a step, 0 <= m < 1.
        mean: Mean of each channel of the raw images, or None: images are not normalised.
        variance: Variance of each channel of the raw images, > 0; given together with `mean`.

    Raises:
        ValueError: If a field has a value outside its range; the message has the field, the value and the range.
    """

    backbone: str
    input_shape: tuple[int, int, int]
    classes: int
    se_ratio: int = 0
    se_after: str = "auto"
    dropout: float = 0.0
    norm_momentum: float = 0.99
    mean: tuple[float, ...] | None = None
    variance: tuple[float, ...] | None = None

    stochastic_depth: ClassVar[float] = 0.0  # some backbones have one of their own, which is no hyperparameter

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            hint = did_you_mean(self.backbone, BACKBONES)
            raise ValueError(f"backbone is {self.backbone!r}, allowed is one of {', '.join(sorted(BACKBONES))}.{hint}")
        _require(self.se_after in RULE_NAMES, "se_after", self.se_after, " or ".join(map(repr, RULE_NAMES)))
        _require(is_whole(self.se_ratio, 0), "se_ratio", self.se_ratio, "a whole number >= 0")
        _require(is_whole(self.classes, 2), "classes", self.classes, "a whole number >= 2")
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "a number p with 0 <= p < 1")
        _require(0 <= self.norm_momentum < 1, "norm_momentum", self.norm_momentum, "a number m with 0 <= m < 1")
        edge, size = BACKBONES[self.backbone], "x".join(map(str, self.input_shape[:2]))
        if min(self.input_shape[:2]) < edge:
            raise ValueError(
                f"{self.backbone} takes images of {edge}x{edge} pixels or more, and these have {size}; enlarge them "
                f"with --image-size {edge}, or choose another backbone."
            )

    @property
    def name(self) -> str:
        """Name of the Keras model, such as "se_mobilenetv2"."""
        return f"{'se_' if self.se_ratio else ''}{self.backbone.lower()}"


def backbone_name(text: str) -> str:
    """Returns the name of a backbone as Keras writes it, whatever the case of the letters.

    Raises:
        UsageError: If there is no such backbone.
    """
    name = spelled_backbone(text)
    if name not in BACKBONES:
        close = did_you_mean(text.lower(), map(str.lower, BACKBONES))
        hint = next((f" Did you mean {each!r}?" for each in BACKBONES if repr(each.lower()) in close), "")
        raise UsageError(f"--backbone is {text!r}; allowed is one of {', '.join(sorted(BACKBONES))}.{hint}")
    return name


def spelled_backbone(text: str) -> str:
    """Returns the name that a text is but for the case of its letters, or the text where there is none."""
    return next((name for name in BACKBONES if name.lower() == text.lower()), text)


def _require(holds: bool, field: str, received: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{field} is {received!r}, allowed is {allowed}.")
