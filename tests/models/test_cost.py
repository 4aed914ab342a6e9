import ast
import math
import sys
from pathlib import Path

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tuner.models
from tuner.models import ModelConfig, build_model, cost

_PACKAGE = Path(tuner.models.__file__).parent


@st.composite
def _configs(draw):
    channels = draw(st.sampled_from([1, 2, 3]))
    blocks = tuple(draw(st.lists(st.integers(1, 2), min_size=1, max_size=3)))
    ratios = st.sampled_from([0, 1, 2, 3, 16])
    block = draw(st.sampled_from(["basic", "bottleneck"]))
    groups = {"cardinality": st.sampled_from([1, 2, 4, 32]), "group_width": st.sampled_from([None, 1, 3])}
    has_statistics = draw(st.booleans())
    return ModelConfig(
        input_shape=(draw(st.integers(1, 40)), draw(st.integers(1, 40)), channels),
        classes=draw(st.integers(2, 12)),
        block=block,
        blocks=blocks,
        width=draw(st.integers(1, 9)),
        se_ratio=draw(st.one_of(ratios, st.tuples(*[ratios] * len(blocks)))),
        se_stages=draw(st.one_of(st.none(), st.sets(st.integers(1, len(blocks))).map(lambda s: tuple(sorted(s))))),
        se_position=draw(st.sampled_from(["standard", "pre", "post", "identity"])),
        squeeze=draw(st.sampled_from(["avg", "max"])),
        excitation=draw(st.sampled_from(["sigmoid", "tanh", "relu"])),
        stem=draw(st.sampled_from(["small", "imagenet", "deep"])),
        conv_bias=draw(st.booleans()),
        se_bias=draw(st.booleans()),
        projection_norm=draw(st.booleans()),
        stride_position=draw(st.sampled_from(["first", "middle"])),
        stochastic_depth=draw(st.sampled_from([0.0, 0.2])),
        dropout=draw(st.sampled_from([0.0, 0.2])),
        mean=(0.5,) * channels if has_statistics else None,
        variance=(2.0,) * channels if has_statistics else None,
        **({name: draw(values) for name, values in groups.items()} if block == "bottleneck" else {}),
    )


# An exact property: no false alarms. Derandomised, so that a failure is the same one on every machine.
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(config=_configs())
def test_cost_equals_the_built_model(config):
    model = build_model(config)
    counted = cost(config)
    assert counted.params == model.count_params()
    assert counted.trainable_params == sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert counted.macs == sum(_layer_macs(layer) for layer in model.layers)


def _layer_macs(layer):
    """Multiply-accumulates of one built layer: every kernel weight once per output position."""
    if isinstance(layer, keras.layers.Conv2D):
        _, height, width, _ = layer.output.shape
        return math.prod(layer.kernel.shape) * height * width
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape)
    return 0


def test_costs_add_up_field_by_field():
    config = ModelConfig(input_shape=(8, 8, 1), classes=2, blocks=(1,), width=2)
    once = cost(config)
    assert (once + once).macs == 2 * once.macs
    assert (once + once).params == 2 * once.params
    assert (once + once).trainable_params == 2 * once.trainable_params


def test_macs_follow_the_image_and_weights_do_not():
    small = cost(ModelConfig(input_shape=(32, 32, 3), classes=10, se_ratio=0))
    large = cost(ModelConfig(input_shape=(64, 64, 3), classes=10, se_ratio=0))
    head = 512 * 10
    assert small.params == large.params
    assert large.macs - head == 4 * (small.macs - head)


@pytest.mark.parametrize("module", ["config", "plan", "cost"])
def test_arithmetic_needs_the_standard_library_only(module):
    tree = ast.parse((_PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    names = {name for node in ast.walk(tree) for name in _imported(node)}
    ours = {"tuner.models.config", "tuner.models.plan"}
    assert {name for name in names - ours if name.split(".")[0] not in sys.stdlib_module_names} == set()


def _imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "." * node.level]
    return []
