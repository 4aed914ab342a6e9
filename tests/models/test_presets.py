import pytest

from tuner.errors import UsageError
from tuner.models import ModelConfig, build, preset

_IMAGES = {"input_shape": (32, 32, 3), "classes": 10}


def test_default_preset_is_the_tutorial_recipe_and_the_default_config():
    assert preset("se_resnet18", **_IMAGES) == ModelConfig(**_IMAGES)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
@pytest.mark.parametrize("variant", ["tutorial", "paper"])
def test_names_agree_with_what_is_built(depth, variant):
    assert preset(f"resnet{depth}", variant=variant, **_IMAGES).name == f"resnet{depth}"
    assert preset(f"se_resnet{depth}", variant=variant, **_IMAGES).name == f"se_resnet{depth}"


def test_variant_of_the_paper_has_its_biases_norms_and_strides():
    config = preset("se_resnet50", variant="paper", **_IMAGES)
    assert not config.conv_bias
    assert config.se_bias
    assert config.projection_norm
    assert config.stride_position == "first"


def test_overrides_win_over_name_and_variant():
    config = preset("se_resnet50", variant="paper", se_ratio=8, se_bias=False, stride_position="middle", **_IMAGES)
    assert (config.se_ratio, config.se_bias, config.stride_position) == (8, False, "middle")


def test_build_takes_the_same_arguments():
    model = build("se_resnet18", stem="small", width=2, blocks=(1, 1), **_IMAGES)
    assert model.name == "se_resnet6"
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize("entry", [preset, build])
@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("se_resnet19", {}, r"Unknown network 'se_resnet19'; .* Did you mean 'se_resnet1"),
        ("senet", {}, r"Unknown network 'senet'; allowed are se_resnet18, "),
        ("resnet18", {"variant": "papper"}, r"Unknown variant 'papper'; .* Did you mean 'paper'\?"),
        ("resnet18", {"widht": 8}, r"Unknown field 'widht'; allowed are block, .* Did you mean 'width'\?"),
    ],
)
def test_unknown_names_are_usage_errors(entry, name, fields, message):
    with pytest.raises(UsageError, match=message):
        entry(name, **_IMAGES, **fields)


def test_value_out_of_range_is_refused_by_the_config():
    with pytest.raises(ValueError, match=r"ModelConfig\.width"):
        preset("resnet18", width=0, **_IMAGES)
