import dataclasses
import json

import pytest

from tuner.models import ModelConfig

_VALID = {"input_shape": (8, 8, 3), "classes": 10}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("block", "Basic"),
        ("block", None),
        ("stem", "cifar"),
        ("stride_position", "last"),
        ("blocks", ()),
        ("blocks", (2, 0)),
        ("blocks", [2, 2]),
        ("blocks", (2, 1.0)),
        ("blocks", 2),
        ("width", 0),
        ("width", 16.0),
        ("width", True),
        ("se_ratio", -1),
        ("se_ratio", None),
        ("se_ratio", (4, 4, 4)),
        ("se_ratio", (4, 4, 4, -1)),
        ("se_ratio", [4, 4, 4, 4]),
        ("se_stages", (5,)),
        ("se_stages", (0, 1)),
        ("se_stages", (2, 1)),
        ("se_stages", (1, 1)),
        ("se_stages", 1),
        ("se_position", "before"),
        ("squeeze", "mean"),
        ("excitation", "softmax"),
        ("cardinality", 0),
        ("cardinality", 2),
        ("group_width", 4),
        ("stochastic_depth", 1.0),
        ("stochastic_depth", -0.1),
        ("dropout", 1),
        ("dropout", "0.5"),
        ("classes", 1),
        ("conv_bias", 1),
        ("se_bias", None),
        ("projection_norm", "bottleneck"),
        ("input_shape", (8, 8)),
        ("input_shape", (8, 0, 3)),
        ("input_shape", (None, None, 3)),
        ("norm_momentum", 1.0),
        ("norm_momentum", -0.1),
        ("norm_momentum", "0.9"),
        ("norm_epsilon", 0.0),
        ("norm_epsilon", float("nan")),
        ("norm_epsilon", float("inf")),
    ],
)
def test_bad_value_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=rf"ModelConfig\.{field}: received .*, allowed is ") as refusal:
        ModelConfig(**_VALID | {field: value})
    assert repr(value) in str(refusal.value)


@pytest.mark.parametrize(
    ("field", "statistics"),
    [
        ("variance", {"mean": (0.0, 0.0, 0.0)}),
        ("mean", {"variance": (1.0, 1.0, 1.0)}),
        ("mean", {"mean": (0.0,), "variance": (1.0, 1.0, 1.0)}),
        ("mean", {"mean": (0.0, 0.0, float("nan")), "variance": (1.0, 1.0, 1.0)}),
        ("variance", {"mean": (0.0, 0.0, 0.0), "variance": (1.0, 0.0, 1.0)}),
        ("variance", {"mean": (0.0, 0.0, 0.0), "variance": [1.0, 1.0, 1.0]}),
    ],
)
def test_incomplete_statistics_are_refused(field, statistics):
    with pytest.raises(ValueError, match=rf"ModelConfig\.{field}: .* 3 numbers"):
        ModelConfig(**_VALID, **statistics)


def test_changed_copy_is_checked_too():
    config = ModelConfig(**_VALID)
    with pytest.raises(ValueError, match="width"):
        dataclasses.replace(config, width=-1)


def test_config_is_hashable_and_plain_enough_for_json():
    config = ModelConfig(**_VALID, mean=(1.0, 2.0, 3.0), variance=(1.0, 1.0, 1.0))
    assert len({config, dataclasses.replace(config)}) == 1
    assert json.loads(json.dumps(dataclasses.asdict(config)))["mean"] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "se_resnet18"),
        ({"se_ratio": 0}, "resnet18"),
        ({"blocks": (1, 1, 1)}, "se_resnet8"),
        ({"blocks": (18, 18, 18), "se_ratio": 0}, "resnet110"),  # He et al., 2015, table 6
        ({"blocks": (3, 8, 36, 3), "block": "bottleneck"}, "se_resnet152"),
        ({"blocks": (3, 4, 6, 3), "block": "bottleneck", "stem": "deep", "se_stages": ()}, "resnet50"),
        ({"blocks": (3, 4, 6, 3), "block": "bottleneck", "cardinality": 32, "group_width": 4}, "se_resnext50_32x4d"),
        (
            {"blocks": (3, 4, 23, 3), "block": "bottleneck", "cardinality": 8, "se_ratio": (0, 0, 0, 0)},
            "resnext101_8x8d",
        ),
    ],
)
def test_name_counts_layers_as_the_literature_does(fields, name):
    assert ModelConfig(**_VALID, **fields).name == name


@pytest.mark.parametrize(
    ("fields", "has_norm"),
    [
        ({"block": "basic"}, False),
        ({"block": "basic", "projection_norm": True}, True),
        ({"block": "bottleneck"}, True),
        ({"block": "bottleneck", "projection_norm": True}, True),
    ],
)
def test_bottleneck_projection_is_always_normalised(fields, has_norm):
    assert ModelConfig(**_VALID, **fields).has_projection_norm is has_norm


@pytest.mark.parametrize(
    ("fields", "ratios"),
    [
        ({}, (16, 16, 16, 16)),
        ({"se_ratio": (2, 0, 4, 8)}, (2, 0, 4, 8)),
        ({"se_stages": (1, 4)}, (16, 0, 0, 16)),
        ({"se_ratio": (2, 0, 4, 8), "se_stages": (1, 2)}, (2, 0, 0, 0)),
        ({"se_ratio": 0}, (0, 0, 0, 0)),
    ],
)
def test_stage_has_the_ratio_that_is_its_own(fields, ratios):
    assert ModelConfig(**_VALID, **fields).gate_ratios == ratios
