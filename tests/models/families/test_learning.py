"""Every family learns: some steps on one small batch lower its loss.

Random images in two classes that differ in brightness. With momentum the loss of a deep network rises first, how far
depends on how a processor rounds; after twelve steps it is far below its beginning. SE-ResNeXt-101 and SENet-154 take
minutes and gigabytes; two shallow ones stand for them.
"""

import keras
import numpy as np
import pytest

from tuner.models import build
from tuner.models.families.resnext import GroupedNetwork, build_resnext

_STEPS = 12


def _fall_of_loss(model, size):
    """Returns the first and the last loss of some steps on one batch."""
    labels = np.array([0, 1, 0, 1])
    images = (
        np.random.default_rng(0).normal(size=(4, size, size, 3)).astype("float32") + 2.0 * labels[:, None, None, None]
    )
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", jit_compile=False)
    losses = [float(model.train_on_batch(images, labels)) for _ in range(_STEPS)]
    assert np.isfinite(losses).all()
    return losses[0], losses[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        GroupedNetwork(blocks=(1, 1), groups=32, reduce=2, middle=2),
        GroupedNetwork(blocks=(1, 1), groups=64, reduce=2, middle=4, deep_stem=True, wide_projection=True, dropout=0.2),
    ],
    ids=["resnext", "senet"],
)
def test_shallow_grouped_network_learns(network):
    keras.utils.set_random_seed(1)
    model = build_resnext(network, input_shape=(32, 32, 3), classes=2, se_ratio=16, se_bias=True, name="shallow")
    first, last = _fall_of_loss(model, 32)
    assert last < first


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("se_resnet20", 32),
        ("se_resnet164", 32),
        ("se_resnext50_32x4d", 32),
        ("se_bn_inception", 32),
        ("se_inception_v3", 75),
        ("se_inception_resnet_v2", 75),
        ("se_vgg16", 32),
        ("se_mobilenet", 32),
    ],
)
def test_named_network_learns(name, size):
    keras.utils.set_random_seed(1)
    model = build(name, input_shape=(size, size, 3), classes=2, variant="paper", norm_momentum=0.9)
    first, last = _fall_of_loss(model, size)
    assert last < first
