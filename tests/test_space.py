"""A search space is found by name or file, and a broken one says where and why."""

import pytest
from oracles.driving import require_package

from tuner.config import SearchConfig
from tuner.declaration import active_values, declare
from tuner.errors import SpaceError
from tuner.hypermodel import SEResNetHyperModel
from tuner.oracles import ORACLES, make_oracle
from tuner.space import load_space, space_names

SHIPPED = ["backbone", "imagenet", "medium", "small", "tiny"]


TWICE = [
    "hp.Choice('stem', ['small', 'imagenet'])",
    "with hp.conditional_scope('stem', ['small']): hp.Int('width', 4, 8)",
    "with hp.conditional_scope('stem', ['imagenet']): hp.Int('width', 4, 9)",
]


@pytest.fixture
def write(tmp_path):
    def write(text, name="own.py"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_names_are_the_shipped_files():
    assert space_names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_space_has_a_title_page_with_its_command(name):
    space = load_space(name)
    text = __import__(f"search_spaces.{name}", fromlist=["x"]).__doc__
    assert space.title
    assert space.title == text.splitlines()[0]
    assert f"python -m tuner.search --space {name}" in text
    assert "\nCost: " in text
    assert "\nExpected: " in text


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "backbone"])
def test_default_of_shipped_space_is_a_network(name):
    hp = declare(load_space(name))
    size = (224, 224, 3) if name == "imagenet" else (8, 8, 1)
    hypermodel = SEResNetHyperModel(name, size, classes=10, max_epochs=9, steps_per_epoch=20)
    values = active_values(hp)
    config = hypermodel.model_config(values)
    assert config.width == values["width"]
    assert config.blocks == tuple(values[f"blocks_{stage}"] for stage in range(1, values["stages"] + 1))
    names = {"learning_rate", "sgd_learning_rate"} & set(values)
    assert {hypermodel.recipe(values).learning_rate} == {values[name] for name in names}


def test_default_backbone_is_a_network():
    hypermodel = SEResNetHyperModel("backbone", (32, 32, 3), classes=10, max_epochs=9, steps_per_epoch=20)
    values = active_values(declare(load_space("backbone")))
    config = hypermodel.model_config(values)
    assert (config.backbone, config.se_ratio, config.se_after, config.dropout) == ("MobileNetV2", 16, "auto", 0.0)
    assert hypermodel.recipe(values).learning_rate == values["learning_rate"]


def test_backbone_that_is_asked_for_takes_the_place_of_the_declared_one(write):
    choice = "def declare(hp):\n    hp.Choice('backbone', ['VGG16', 'VGG19'])\n    hp.Choice('se_ratio', [0, 4])\n"
    with_condition = choice + "    with hp.conditional_scope('backbone', ['VGG19']): hp.Fixed('dropout', 0.5)\n"
    for path in ("backbone", write(with_condition)):
        hp = declare(load_space(path, backbone="Xception"))
        assert [type(entry).__name__ for entry in hp.space if entry.name == "backbone"] == ["Fixed"]
        assert active_values(hp)["backbone"] == "Xception"
    assert "dropout" not in active_values(hp)
    assert active_values(declare(load_space(write(with_condition))))["backbone"] == "VGG16"


def test_backbone_is_refused_where_the_space_declares_none():
    with pytest.raises(SpaceError, match=r"--backbone is 'VGG16', but the search space small declares no backbone"):
        declare(load_space("small", backbone="VGG16"))


@pytest.mark.parametrize("name", ["tiny", "backbone"])
def test_augmentation_that_is_asked_for_is_searched(name):
    plain = active_values(declare(load_space(name)))
    values = active_values(declare(load_space(name, augment=True)))
    assert values == {**plain, "horizontal_flip": True, "translation": 0.0}
    hypermodel = SEResNetHyperModel(load_space(name, augment=True), (32, 32, 3), 10, max_epochs=9, steps_per_epoch=20)
    recipe = hypermodel.recipe(values)
    assert (recipe.horizontal_flip, recipe.translation, recipe.augments) == (True, 0.0, True)


def test_class_weights_that_are_asked_for_are_searched(write):
    plain = active_values(declare(load_space("tiny")))
    assert active_values(declare(load_space("tiny", class_weights=True))) == {**plain, "class_weights": True}
    path = write("def declare(hp):\n    hp.Fixed('class_weights', False)\n")
    assert active_values(declare(load_space(path, class_weights=True))) == {"class_weights": False}
    both = declare(load_space("tiny", augment=True, class_weights=True))
    assert {"horizontal_flip", "translation", "class_weights"} <= active_values(both).keys()


def test_augmentation_that_the_space_declares_stays(write):
    path = write("def declare(hp):\n    hp.Fixed('translation', 0.25)\n")
    assert active_values(declare(load_space(path, augment=True))) == {"translation": 0.25, "horizontal_flip": True}


def test_space_of_a_backbone_has_no_names_of_other_networks(write):
    path = write("def declare(hp):\n    hp.Fixed('backbone', 'VGG16')\n    hp.Fixed('{}', 4)\n".format("se_raito"))
    with pytest.raises(SpaceError, match=r"'se_raito', which the backbone does not know.* Did you mean 'se_ratio'\?"):
        declare(load_space(path))
    path = write("def declare(hp):\n    hp.Fixed('backbone', 'VGG16')\n    hp.Fixed('blocks_1', 4)\n", "blocks.py")
    with pytest.raises(SpaceError, match="'blocks_1', which the backbone does not know"):
        declare(load_space(path))


def test_file_is_a_space(write):
    path = write(
        '"""Mine.\n\nMore."""\nMAX_EPOCHS = 5\nBATCH_SIZE = 16\n\ndef declare(hp):\n    hp.Fixed("width", 4)\n'
    )
    space = load_space(path)
    assert (space.name, space.label, space.title, space.max_epochs, space.batch_size) == (path, "own", "Mine.", 5, 16)
    assert declare(space).values == {"width": 4}


def test_budgets_have_defaults(write):
    space = load_space(write("def declare(hp):\n    hp.Fixed('width', 4)\n"))
    assert (space.max_epochs, space.batch_size) == (9, 64)


@pytest.mark.parametrize(("name", "meant"), [("smal", "small"), ("mediun", "medium"), ("imagnet", "imagenet")])
def test_close_name_is_suggested(name, meant):
    with pytest.raises(SpaceError, match=rf"no search space '{name}'.*Did you mean '{meant}'\?"):
        load_space(name)


def test_far_name_lists_what_there_is():
    with pytest.raises(
        SpaceError, match=r"there are backbone, imagenet, medium, small, tiny, and a path that ends in \.py"
    ):
        load_space("zzz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def declare(hp:\n", "does not run: SyntaxError"),
        ("import no_such_module\n", "does not run: ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0\n", "does not run: ZeroDivisionError"),
        ("", r"has no function declare\(hp\)"),
        ("declare = 3\n", r"has no function declare\(hp\)"),
        ("MAX_EPOCHS = 0\ndef declare(hp): pass\n", "MAX_EPOCHS of the search space is 0"),
        ("BATCH_SIZE = '64'\ndef declare(hp): pass\n", "BATCH_SIZE of the search space is '64'"),
        ("raise SystemExit(3)\n", "does not run: SystemExit: 3"),
        ("BATCH_SIZE = True\ndef declare(hp): pass\n", "BATCH_SIZE of the search space is True"),
    ],
)
def test_broken_file_says_why(text, message, write):
    with pytest.raises(SpaceError, match=message):
        load_space(write(text))


@pytest.mark.parametrize("text", ["", '""""""\n', '"""  \n """\n'])
def test_file_without_a_title_has_its_name(text, write):
    name = write(f"{text}def declare(hp):\n    hp.Int('width', 4, 8)\n")
    assert load_space(name).title == name


def test_file_may_have_data_classes(write):
    """They look for the names of their types in the module that `sys.modules` has."""
    text = (
        "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass Range:\n    low: int\n"
    )
    space = load_space(write(f"{text}def declare(hp):\n    hp.Int('width', Range(4).low, 8)\n"))
    assert declare(space).get("width") == 4


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("import keras\n", 1),
        ("import os, keras_tuner\n", 1),
        ("from tensorflow import keras\n", 1),
        ("def callbacks():\n    import keras\n    return [keras.callbacks.Callback()]\n", 0),
        ("# import keras\nimport os  # not keras\n", 0),
    ],
)
def test_tensorflow_that_a_file_imports_is_that_of_all_commands(text, times, write, monkeypatch):
    imports = []
    monkeypatch.setattr("tuner.space.import_tensorflow", lambda: imports.append(None))
    load_space(write(f"{text}def declare(hp):\n    hp.Int('width', 4, 8)\n"))
    assert len(imports) == times


def test_object_that_fails_as_declaration_says_where(write):
    name = write("import functools\ndeclare = functools.partial(lambda hp, by: 1 / by, by=0)\n")
    with pytest.raises(SpaceError, match=rf"declare\(hp\) in {name} fails: ZeroDivisionError"):
        declare(load_space(name))


def test_absent_file_is_named(tmp_path):
    with pytest.raises(SpaceError, match=r"absent\.py is no file"):
        load_space(str(tmp_path / "absent.py"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", "declares nothing; it may declare block, stem"),
        ("hp.Int('widht', 4, 8)", "declares 'widht'.*Did you mean 'width'"),
        ("hp.Int('blocks_0', 1, 2)", "declares 'blocks_0'"),
        ("hp.Choice('width', [])", r"declare\(hp\) in .*own\.py fails: "),
        ("\n    ".join(TWICE), "declares 'width' twice; give each conditional scope its own name"),
        ("exit(3)", r"declare\(hp\) in .*own\.py fails: SystemExit: 3"),
        ("hp.Float('learning_rate', 0.01, 0.1, default=5.0)", "learning_rate has the default 5.0; .* from 0.01 to 0.1"),
        ("hp.Float('learning_rate', 0.1, 1.0, default=float('nan'))", "learning_rate has the default nan; allowed is"),
        (
            "hp.Float('learning_rate', 0.1, float('inf'))",
            "learning_rate is from 0.1 to inf; allowed are",
        ),
        ("hp.Int('width', 8, 64, step=8, default=20)", "width has the default 20; .* from 8 to 64 in steps of 8"),
        ("hp.Wrong('width')", r"declare\(hp\) in .*own\.py fails: AttributeError"),
    ],
)
def test_broken_declaration_says_why(body, message, write):
    with pytest.raises(SpaceError, match=message):
        declare(load_space(write(f"def declare(hp):\n    {body}\n")))


@pytest.mark.parametrize("algorithm", sorted(ORACLES))
@pytest.mark.parametrize("name", SHIPPED)
def test_proposals_in_shipped_space_are_complete_and_begin_with_its_default(name, algorithm):
    require_package(algorithm)
    hp = declare(load_space(name))
    oracle = make_oracle(SearchConfig(space=name, algorithm=algorithm, max_epochs=9, batch_size=64), hp)
    hypermodel = SEResNetHyperModel(name, (32, 32, 3), classes=10, max_epochs=9, steps_per_epoch=20)
    for number in range(4):
        trial = oracle.create_trial(f"slot{number}")
        values = active_values(trial.hyperparameters)
        hypermodel.model_config(values)
        assert number or values == active_values(hp)
