import ast
import dataclasses
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
        se_position=draw(st.sampled_from(["standard", "pre", "post", "identity", "inner"])),
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
    assert counted.peak_activation_bytes == _peak_bytes(build_model(config, for_export=True))


def _peak_bytes(model):
    """The most bytes of outputs that a walk over a built model's graph holds at the same time."""
    order = []

    def visit(layer):
        """Appends a layer behind all that it needs; of an addition, the branch before the shortcut."""
        if layer not in order:
            for needed in reversed(_needed(layer)):
                visit(needed)
            order.append(layer)

    visit(model.layers[-1])
    assert set(order) == set(model.layers)
    most, held = 0, set()
    for place, layer in enumerate(order):
        held.add(layer)
        most = max(most, sum(4 * math.prod(each.output.shape[1:]) for each in held))
        waited_for = {needed for later in order[place + 1 :] for needed in _needed(later)}
        held &= waited_for
    return most


def _needed(layer):
    """The layers whose outputs a built layer reads."""
    return [parent.operation for node in layer._inbound_nodes for parent in node.parent_nodes]


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
    assert (once + once).peak_activation_bytes == once.peak_activation_bytes


def test_peak_of_a_small_network_is_that_of_its_widest_moment():
    # 8x8 pixels, 4 channels. While the shortcut and the branch are added, both and their sum are held.
    config = ModelConfig(input_shape=(8, 8, 1), classes=2, blocks=(1,), width=4, stem="small", se_ratio=0)
    assert cost(config).peak_activation_bytes == 4 * 3 * (8 * 8 * 4)
    # The gate needs its input, its vector of 4 numbers and its output beside the shortcut.
    gated = dataclasses.replace(config, se_ratio=4)
    assert cost(gated).peak_activation_bytes == 4 * (3 * (8 * 8 * 4) + 4)


def test_peak_grows_with_the_image():
    small, large = (cost(ModelConfig(input_shape=(size, size, 3), classes=10)) for size in (32, 64))
    assert large.peak_activation_bytes > 3 * small.peak_activation_bytes


def test_macs_follow_the_image_and_weights_do_not():
    small = cost(ModelConfig(input_shape=(32, 32, 3), classes=10, se_ratio=0))
    large = cost(ModelConfig(input_shape=(64, 64, 3), classes=10, se_ratio=0))
    head = 512 * 10
    assert small.params == large.params
    assert large.macs - head == 4 * (small.macs - head)


@pytest.mark.parametrize("module", ["config", "plan", "memory", "cost", "../quantities"])
def test_arithmetic_needs_the_standard_library_only(module):
    tree = ast.parse((_PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    names = {name for node in ast.walk(tree) for name in _imported(node)}
    ours = {"tuner.models.config", "tuner.models.plan", "tuner.models.memory", "tuner.quantities"}
    assert {name for name in names - ours if name.split(".")[0] not in sys.stdlib_module_names} == set()


def _imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "." * node.level]
    return []
