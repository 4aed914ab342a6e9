"""What is published and known of the networks that have a name, for the table of `python -m tuner.models`.

Standard library only: the counts of families, which have no `ModelConfig`, are written down here, and the parity tests
hold them to what is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuner.errors import UsageError, did_you_mean
from tuner.models.cost import Cost, cost
from tuner.models.presets import FAMILIES, NETWORKS, preset

__all__ = ["COUNTS", "NOTES", "Entry", "entries", "needs_building"]

NOTES = {
    "a": "Hu et al., 2018, arXiv 1709.01507: ImageNet validation, 224x224 centre crop",
    "b": "the same paper: CIFAR-10 test, of pre-activation networks; these have the ReLU after the addition",
    "c": "no published definition to compare with: where the gates stand is this program's choice",
    "d": "the paper has no figure",
}

# 224x224x3, 1000 classes, gates with bias, r = 16.
COUNTS = {
    "se_resnext50_32x4d": Cost(params=27_628_120, trainable_params=27_559_896, macs=4_232_994_816),
    "se_resnext101_32x4d": Cost(params=49_093_272, trainable_params=48_955_416, macs=7_974_739_968),
    "senet154": Cost(params=115_336_536, trainable_params=115_088_984, macs=20_688_363_520),
    "se_bn_inception": Cost(params=11_951_654, trainable_params=11_931_622, macs=2_033_239_424),
    "se_inception_v3": Cost(params=25_513_404, trainable_params=25_478_972, macs=2_839_572_064),
    "se_inception_resnet_v2": Cost(params=64_417_716, trainable_params=64_357_172, macs=6_477_456_480),
    "se_vgg16": Cost(params=138_588_336, trainable_params=138_588_336, macs=15_470_490_624),
    "se_mobilenet": Cost(params=4_739_932, trainable_params=4_718_044, macs=569_220_096),
}
# Features that the classifier sees, for other numbers of classes.
_FEATURES = dict(zip(COUNTS, (2048, 2048, 2048, 1024, 2048, 1536, 4096, 1024), strict=True))

_ImageShape = tuple[int, int, int]
_IMAGENET: tuple[_ImageShape, int] = ((224, 224, 3), 1000)
_CIFAR: tuple[_ImageShape, int] = ((32, 32, 3), 10)

# Top-1 and top-5 error in percent, from the paper; without gates it is the authors' own training.
_IMAGENET_ERRORS = {
    "resnet50": (24.80, 7.48),
    "se_resnet50": (23.29, 6.62),
    "resnet101": (23.17, 6.52),
    "se_resnet101": (22.38, 6.07),
    "resnet152": (22.42, 6.34),
    "se_resnet152": (21.57, 5.73),
    "se_resnext50_32x4d": (21.10, 5.49),
    "se_resnext101_32x4d": (20.70, 5.01),
    "se_bn_inception": (24.23, 7.14),
    "senet154": (18.68, 4.47),
}
# Top-1 error in percent, from the paper.
_CIFAR10_ERRORS = {"resnet110": 6.37, "se_resnet110": 5.21, "resnet164": 5.46, "se_resnet164": 4.39}
_WITHOUT_DEFINITION = ("se_inception_v3", "se_inception_resnet_v2", "se_vgg16", "se_mobilenet")


@dataclass(frozen=True)
class Entry:
    """A network of the table.

    Attributes:
        name: What `tuner.models.build` calls it.
        input_shape: Image shape that `cost` is counted for, `(height, width, channels)`.
        classes: Number of classes that `cost` is counted for.
        cost: Weights and multiply-accumulates, in the recipe of the papers.
        top1_error: Published share of images whose likeliest class is wrong, in percent, or None.
        top5_error: The same of the five likeliest, or None.
        note: Key of `NOTES`: where the errors come from, or why there are none.
    """

    name: str
    input_shape: _ImageShape
    classes: int
    cost: Cost
    top1_error: float | None
    top5_error: float | None
    note: str


def entries(
    names: Sequence[str] = (), *, input_shape: _ImageShape | None = None, classes: int | None = None
) -> list[Entry]:
    """Returns the rows of the table.

    Args:
        names: Which networks; all of them if empty.
        input_shape: Images to count for, or None for those of each network's data set: 224x224x3, for CIFAR 32x32x3.
            Families are built for any but 224x224x3, which imports TensorFlow and takes seconds each.
        classes: Classes to count for, >= 2, or None for 1000, for CIFAR 10.

    Raises:
        UsageError: If a name is unknown, or a network does not take such images.
    """
    known = [*NETWORKS, *FAMILIES]
    for name in names:
        if name not in known:
            raise UsageError(f"Unknown network {name!r}; allowed are {', '.join(known)}.{did_you_mean(name, known)}")
    return [_entry(name, input_shape, classes) for name in names or known]


def needs_building(names: Sequence[str], input_shape: _ImageShape | None) -> bool:
    """Whether `entries` has to build a network and so to import TensorFlow."""
    return input_shape not in (None, _IMAGENET[0]) and any(name in FAMILIES for name in names or FAMILIES)


def _entry(name: str, input_shape: _ImageShape | None, classes: int | None) -> Entry:
    is_cifar = NETWORKS.get(name, {}).get("stem") == "small"
    default_shape, default_classes = _CIFAR if is_cifar else _IMAGENET
    shape, number = input_shape or default_shape, classes or default_classes
    top1, top5 = _IMAGENET_ERRORS.get(name, (_CIFAR10_ERRORS.get(name), None))
    note = "c" if name in _WITHOUT_DEFINITION else "d" if top1 is None else "b" if is_cifar else "a"
    return Entry(name, shape, number, _cost(name, shape, number), top1, top5, note)


def _cost(name: str, input_shape: _ImageShape, classes: int) -> Cost:
    if name in NETWORKS:
        return cost(preset(name, input_shape=input_shape, classes=classes, variant="paper"))
    if input_shape == _IMAGENET[0]:
        more = classes - _IMAGENET[1]
        weights, features = more * (_FEATURES[name] + 1), more * _FEATURES[name]
        return COUNTS[name] + Cost(weights, weights, features)
    from tuner.models.counting import count
    from tuner.models.presets import build

    return count(build(name, input_shape=input_shape, classes=classes, variant="paper"))
