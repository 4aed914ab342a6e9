"""Golden counts of the published networks.

Origin of every figure: the project's `reference/parity.json`. Its tutorial rows were obtained by building the layers of
the seed document with TensorFlow 2.21 / Keras 3.15; its paper rows come from the definitions that the authors of
arXiv 1709.01507 published and from timm's model tables (1000 classes). All for 224 x 224 x 3.
"""

import pytest

from tuner.models import build, cost, preset
from tuner.models.plan import residual_blocks

# name, classes, total, trainable
_TUTORIAL = [
    ("se_resnet18", 10, 11_279_498, 11_271_690),
    ("se_resnet18", 1000, 11_787_368, 11_779_560),
    ("se_resnet34", 10, 21_468_938, 21_453_706),
    ("se_resnet34", 1000, 21_976_808, 21_961_576),
    ("se_resnet50", 10, 26_123_146, 26_070_026),
    ("se_resnet50", 1000, 28_151_656, 28_098_536),
    ("se_resnet101", 10, 47_421_834, 47_316_490),
    ("se_resnet101", 1000, 49_450_344, 49_345_000),
    ("se_resnet152", 10, 64_969_610, 64_818_186),
    ("se_resnet152", 1000, 66_998_120, 66_846_696),
]

# name, overrides, total (None: not published), trainable
_PAPER = [
    ("resnet18", {}, 11_699_112, 11_689_512),
    ("resnet34", {}, 21_814_696, 21_797_672),
    ("resnet50", {}, 25_610_152, 25_557_032),
    ("resnet101", {}, 44_654_504, 44_549_160),
    ("resnet152", {}, 60_344_232, 60_192_808),
    ("se_resnet18", {}, None, 11_778_592),
    ("se_resnet18", {"se_bias": False}, None, 11_776_552),
    ("se_resnet34", {}, None, 21_958_868),
    ("se_resnet34", {"se_bias": False}, None, 21_954_856),
    ("se_resnet50", {}, 28_141_144, 28_088_024),
    ("se_resnet50", {"se_bias": False}, None, 28_071_976),
    ("se_resnet101", {}, 49_432_216, 49_326_872),
    ("se_resnet101", {"se_bias": False}, None, 49_292_328),
    ("se_resnet152", {}, 66_973_272, 66_821_848),
    ("se_resnet152", {"se_bias": False}, None, 66_770_984),
    # Table 10 of the paper varies the ratio.
    ("se_resnet50", {"se_bias": False, "se_ratio": 2}, None, 45_676_584),
    ("se_resnet50", {"se_bias": False, "se_ratio": 4}, None, 35_616_808),
    ("se_resnet50", {"se_bias": False, "se_ratio": 8}, None, 30_586_920),
    ("se_resnet50", {"se_bias": False, "se_ratio": 16}, None, 28_071_976),
    ("se_resnet50", {"se_bias": False, "se_ratio": 32}, None, 26_814_504),
]

# name, overrides, total (None: not published), trainable, gmacs (three decimals), all with 32 groups of 4 channels.
_RESNEXT = [
    ("se_resnet50", {}, 27_628_120, 27_559_896, 4.233),
    ("se_resnet50", {"se_bias": False}, None, 27_543_848, 4.233),
    ("se_resnet101", {}, 49_093_272, 48_955_416, 7.975),
    ("se_resnet101", {"se_bias": False}, None, 48_920_872, 7.975),
]

# name, stride_position, published gmacs. Three decimals: convolutions and dense layers, as `cost` counts.
_GMACS = [
    ("se_resnet50", "first", 3.860),
    ("se_resnet101", "first", 7.575),
    ("se_resnet152", "first", 11.289),
]
# Two decimals: the tables' tool adds two operations for every value that batch normalisation puts out, 0.5 % more.
_GMACS_WITH_NORM = [
    ("resnet18", "first", 1.82),
    ("resnet34", "first", 3.67),
    ("resnet50", "middle", 4.11),
    ("resnet101", "middle", 7.83),
    ("resnet152", "middle", 11.56),
    ("se_resnet50", "middle", 4.11),
]

# Built as well as counted: each takes one to three seconds, so the fast run builds only one of each depth.
_BUILT = ("se_resnet18", "se_resnet34", "se_resnet50", "resnet18", "resnet34", "resnet50")
_BUILT_FAST = [("se_resnet18", 10), ("se_resnet34", 10), ("se_resnet50", 10)]


def _tutorial(name, classes):
    return {"name": name, "input_shape": (224, 224, 3), "classes": classes, "variant": "tutorial"}


def _paper(name, **overrides):
    return {"name": name, "input_shape": (224, 224, 3), "classes": 1000, "variant": "paper", **overrides}


def _norm_outputs(config):
    """Values that batch normalisation puts out for an image whose size all strides divide."""
    size = config.input_shape[0] // 2
    values = size**2 * config.width
    size //= 2
    for block in residual_blocks(config):
        for convolution in block.branch:
            size //= convolution.stride
            values += size**2 * convolution.filters
        if block.projection:
            values += size**2 * block.projection.filters
    return values


@pytest.mark.parametrize(("name", "classes", "total", "trainable"), _TUTORIAL)
def test_cost_counts_the_tutorial_networks(name, classes, total, trainable):
    counted = cost(preset(**_tutorial(name, classes)))
    assert (counted.params, counted.trainable_params) == (total, trainable)


@pytest.mark.parametrize(
    ("name", "classes", "total", "trainable"),
    [
        pytest.param(*row, marks=() if row[:2] in _BUILT_FAST else pytest.mark.slow)
        for row in _TUTORIAL
        if row[0] in _BUILT
    ],
)
def test_built_tutorial_network_has_the_golden_weights(name, classes, total, trainable):
    model = build(**_tutorial(name, classes))
    assert model.name == name
    assert model.count_params() == total
    assert _trainable(model) == trainable


@pytest.mark.parametrize(("name", "overrides", "total", "trainable"), _PAPER)
def test_cost_counts_the_paper_networks(name, overrides, total, trainable):
    counted = cost(preset(**_paper(name, **overrides)))
    assert counted.trainable_params == trainable
    assert total in (None, counted.params)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides", "total", "trainable"),
    [row for row in _PAPER if row[0] in _BUILT and "se_ratio" not in row[1]],
)
def test_built_paper_network_has_the_golden_weights(name, overrides, total, trainable):
    model = build(**_paper(name, **overrides))
    assert _trainable(model) == trainable
    assert total in (None, model.count_params())
    assert model.count_params() == cost(preset(**_paper(name, **overrides))).params


@pytest.mark.parametrize(("name", "overrides", "total", "trainable", "gmacs"), _RESNEXT)
def test_cost_counts_the_published_resnexts(name, overrides, total, trainable, gmacs):
    groups = {"cardinality": 32, "group_width": 4, "stride_position": "middle"}
    config = preset(**_paper(name, **groups, **overrides))
    counted = cost(config)
    assert config.name == f"{name.replace('resnet', 'resnext')}_32x4d"
    assert counted.trainable_params == trainable
    assert total in (None, counted.params)
    assert round(counted.macs / 1e9, 3) == gmacs


@pytest.mark.parametrize(("name", "stride_position", "gmacs"), _GMACS)
def test_macs_round_to_the_published_three_decimals(name, stride_position, gmacs):
    config = preset(**_paper(name, stride_position=stride_position))
    assert round(cost(config).macs / 1e9, 3) == gmacs


@pytest.mark.parametrize(("name", "stride_position", "gmacs"), _GMACS_WITH_NORM)
def test_macs_and_norm_round_to_the_published_two_decimals(name, stride_position, gmacs):
    config = preset(**_paper(name, stride_position=stride_position))
    assert round((cost(config).macs + 2 * _norm_outputs(config)) / 1e9, 2) == gmacs


@pytest.mark.parametrize(("name", "blocks"), [("se_resnet50", 16), ("se_resnet101", 33), ("se_resnet152", 50)])
def test_every_residual_block_has_a_gate(name, blocks):
    gated = preset(**_paper(name))
    plain = preset(**_paper(name, se_ratio=0))
    gate_weights = cost(gated).params - cost(plain).params
    widths = [block.branch[-1].filters for block in residual_blocks(gated)]
    assert len(widths) == blocks
    assert gate_weights == sum(2 * width * (width // 16) + width // 16 + width for width in widths)


def _trainable(model):
    return sum(int(weight.shape.num_elements()) for weight in model.trainable_weights)
