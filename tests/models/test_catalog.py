import subprocess
import sys

import pytest

from tuner.models import build, count
from tuner.models.__main__ import main
from tuner.models.catalog import NOTES, entries, needs_building
from tuner.models.presets import FAMILIES, NETWORKS


def test_every_network_has_a_row_for_the_images_of_its_data_set():
    rows = {row.name: row for row in entries()}
    assert list(rows) == [*NETWORKS, *FAMILIES]
    assert (rows["se_resnet164"].input_shape, rows["se_resnet164"].classes) == ((32, 32, 3), 10)
    assert (rows["senet154"].input_shape, rows["senet154"].classes) == ((224, 224, 3), 1000)
    assert {row.note for row in rows.values()} == set(NOTES)


@pytest.mark.parametrize(
    ("name", "errors", "note"),
    [
        ("se_resnet50", (23.29, 6.62), "a"),
        ("senet154", (18.68, 4.47), "a"),
        ("se_resnet110", (5.21, None), "b"),
        ("se_inception_resnet_v2", (None, None), "c"),
        ("se_resnet18", (None, None), "d"),
    ],
)
def test_published_errors_have_a_source_and_others_a_reason(name, errors, note):
    (row,) = entries([name])
    assert (row.top1_error, row.top5_error, row.note) == (*errors, note)


@pytest.mark.parametrize("name", ["se_bn_inception", "se_mobilenet"])
def test_counts_for_other_classes_and_images_are_those_of_the_built_network(name):
    (other_classes,) = entries([name], classes=7)
    assert other_classes.cost == count(build(name, input_shape=(224, 224, 3), classes=7, variant="paper"))
    (other_images,) = entries([name], classes=7, input_shape=(64, 64, 3))
    assert other_images.cost.params == other_classes.cost.params
    assert other_images.cost.macs < other_classes.cost.macs / 10


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"se_bn_inception", "se_mobilenet"}))
def test_counts_for_other_classes_are_those_of_every_built_family(name):
    (row,) = entries([name], classes=7)
    assert row.cost == count(build(name, input_shape=(224, 224, 3), classes=7, variant="paper"))


@pytest.mark.parametrize(
    ("names", "input_shape", "needed"),
    [
        ([], None, False),
        ([], (224, 224, 3), False),
        ([], (64, 64, 3), True),
        (["se_resnet50"], (64, 64, 3), False),
        (["senet154"], (64, 64, 3), True),
    ],
)
def test_only_families_for_other_images_are_built(names, input_shape, needed):
    assert needs_building(names, input_shape) is needed


def test_table_is_printed_without_tensorflow():
    code = "import sys; from tuner.models.__main__ import main; main([]); print('tensorflow' in sys.modules)"
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    (line,) = [line for line in out.splitlines() if line.startswith("senet154 ")]
    assert line.split() == ["senet154", "224x224x3", "1000", "115,336,536", "20,688,363,520", "18.68", "4.47", "a"]
    assert "\na  Hu et al., 2018, arXiv 1709.01507" in out
    assert out.splitlines()[-1] == "False"


@pytest.mark.parametrize("text", ["\u00b2", "1", "-3", "ten"])
def test_number_of_classes_that_is_none_is_refused(text, capsys):
    with pytest.raises(SystemExit) as ended:
        main([f"--classes={text}"])
    assert ended.value.code == 2
    assert f"{text!r} is no whole number from 2" in capsys.readouterr().err


def test_flags_choose_rows_and_images(capsys):
    assert main(["--name", "resnet20", "--input-shape", "64x64x1", "--classes", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["resnet20", "64x64x1", "3", "273,299"]
    assert lines[2] == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "senet"], "Error: Unknown network 'senet'; allowed are"),
        (["--name", "se_vgg16", "--input-shape", "8x8x3"], "Error: se_vgg16 takes images of 32x32 pixels or more"),
    ],
)
def test_wrong_request_is_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input-shape", "224"], "'224' is no image shape such as 224x224x3"),
        (["--input-shape", "0x8x3"], "'0x8x3' is no image shape"),
        (["--classes", "1"], "'1' is no whole number from 2"),
    ],
)
def test_flag_out_of_range_is_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err
