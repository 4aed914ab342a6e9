"""From flags to a configuration: defaults come from the space, a study keeps its settings."""

import argparse
import dataclasses
import datetime
import json
from pathlib import Path

import pytest

from tuner.budget import Limits
from tuner.config import ALGORITHMS, DEFAULT_ALGORITHM, WITH_MIN_EPOCHS, WITH_RUNGS, WITH_WARM_START, SearchConfig
from tuner.errors import RequestError, SpaceError, StudyError, UsageError
from tuner.flags import add_running_flags, add_search_flags, running_flags, with_joined_objectives
from tuner.messages import Facts
from tuner.request import described, limits_of, moved, resolve, staffing_of, study_name
from tuner.space import load_space
from tuner.staff import Staffing

STORED = SearchConfig(
    space="tiny", algorithm="hyperband", max_epochs=3, batch_size=32, trials=5, seed=4, image_size=(8, 9)
)


def _flags(line=""):
    parser = argparse.ArgumentParser()
    add_search_flags(parser)
    add_running_flags(parser)
    return parser.parse_args(with_joined_objectives(line.split()))


@pytest.fixture(autouse=True)
def fast_bfloat16(monkeypatch):
    """Says with which sizes of images the machine is fast in bfloat16: with none, unless a test says so."""
    fast = [set()]
    monkeypatch.setattr("tuner.request.has_fast_bfloat16", lambda size: size in fast[0])
    return fast


def test_defaults_are_those_of_the_small_space():
    config = resolve(_flags(), None)
    assert config == SearchConfig(space="small", max_epochs=9, batch_size=64)
    assert (config.dataset, config.algorithm, config.objective, config.seed) == (
        "digits",
        DEFAULT_ALGORITHM,
        "val_accuracy",
        0,
    )


@pytest.mark.parametrize(("space", "budget"), [("tiny", (3, 64)), ("medium", (27, 128)), ("imagenet", (90, 256))])
def test_budget_and_batch_come_from_the_space(space, budget):
    config = resolve(_flags(f"--space {space}"), None)
    assert (config.max_epochs, config.batch_size) == budget


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("--dataset folder:pets", "dataset", "folder:pets"),
        ("--algorithm random", "algorithm", "random"),
        ("--trials 7", "trials", 7),
        ("--total-epochs 70", "total_epochs", 70),
        ("--algorithm asha --eta 4", "eta", 4),
        ("--algorithm hyperband --min-epochs 2", "min_epochs", 2),
        ("--algorithm asha --warm-start earlier", "warm_start", "earlier"),
        ("--max-epochs 2", "max_epochs", 2),
        ("--objective val_loss", "objective", "val_loss"),
        ("--seed 0", "seed", 0),
        ("--seed 12", "seed", 12),
        ("--max-params 1M", "max_params", 10**6),
        ("--max-macs 1.5k", "max_macs", 1500),
        ("--max-latency-ms 2.5", "max_latency_ms", 2.5),
        ("--batch-size 5", "batch_size", 5),
        ("--validation-fraction 0.5", "validation_fraction", 0.5),
        ("--test-fraction 0.25", "test_fraction", 0.25),
        ("--image-size 32", "image_size", (32, 32)),
        ("--image-size 28x32", "image_size", (28, 32)),
        ("--images 500", "images", 500),
        ("--mixed-precision on", "mixed_precision", True),
        ("--mixed-precision off", "mixed_precision", False),
        ("--jit", "jit", True),
        ("", "jit", False),
        ("--augment", "augment", True),
        ("--class-weights", "class_weights", True),
        ("", "class_weights", False),
        ("", "augment", False),
        ("--gpus-per-trial 2", "gpus_per_trial", 2),
        ("--gpus-per-trial 0.5", "gpus_per_trial", 1),
    ],
)
def test_flag_sets_its_field(line, field, value):
    assert getattr(resolve(_flags(line), None), field) == value


@pytest.mark.parametrize(
    ("line", "objective", "costs"),
    [
        ("", "val_accuracy", ()),
        ("--objective val_loss", "val_loss", ()),
        ("--objective val_accuracy --objective -params", "val_accuracy", ("params",)),
        ("--objective=-params --objective=val_loss", "val_loss", ("params",)),
        ("--objective -macs --objective val_accuracy --objective -latency", "val_accuracy", ("macs", "latency")),
        ("--objective val_accuracy --objective -macs --objective -macs", "val_accuracy", ("macs",)),
    ],
)
def test_objectives_are_a_score_and_costs(line, objective, costs):
    config = resolve(_flags(line), None)
    assert (config.objective, config.costs) == (objective, costs)
    assert config.algorithm == ("nsga2" if costs else DEFAULT_ALGORITHM)
    assert config.algorithm in study_name(_flags(line))
    assert SearchConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "--objective -params",
            "--objective is -params; allowed is one of val_accuracy, val_balanced_accuracy, val_loss and, besides, any",
        ),
        ("--objective val_accuracy --objective val_loss", "--objective is val_accuracy, val_loss; allowed is one of"),
        ("--objective val_accuracy --objective params", "Did you mean '-params'"),
        ("--objective val_accuracy --objective -param", "Did you mean '-params'"),
        ("--objective val_loss --objective -params --algorithm tpe", "takes one objective, and there are 2; .* nsga2"),
        ("--objective val_loss --objective -params --warm-start old", "--warm-start brings one score a run"),
    ],
)
def test_objectives_that_cannot_be_searched_are_one_sentence(line, message):
    with pytest.raises(UsageError, match=message):
        resolve(_flags(line), None)


def test_objective_without_a_value_is_wrong_usage(capsys):
    with pytest.raises(SystemExit):
        _flags("--objective --seed 1")
    assert "--objective: expected one argument" in capsys.readouterr().err


def test_study_keeps_its_objectives():
    stored = resolve(_flags("--objective val_accuracy --objective -params"), None)
    assert (
        resolve(_flags(""), stored) == resolve(_flags("--objective -params --objective val_accuracy"), stored) == stored
    )
    with pytest.raises(StudyError, match="--objective is val_accuracy, -params in the study and val_accuracy now"):
        resolve(_flags("--objective val_accuracy"), stored)


@pytest.mark.parametrize(
    "line",
    [
        "--trials 0",
        "--trials x",
        "--max-epochs 0",
        "--batch-size -1",
        "--seed -1",
        "--seed 1.5",
        "--image-size 0",
        "--image-size 8x0",
        "--image-size big",
        "--validation-fraction half",
        "--study ../elsewhere",
        "--study a/b",
        "--study .hidden",
        "--images 0",
        "--mixed-precision maybe",
        "--workers -1",
        "--workers some",
        "--cluster tcp://a:8786 --workers 2",  # a cluster has the workers that it has
        "--gpus-per-trial 0",
        "--gpus-per-trial 1.5",
        "--threads 0",
        "--threads some",
        "--steps-per-execution 0",
        "--steps-per-execution 17",
        "--steps-per-execution many",
        "--worker-memory much",
        "--retries -1",
        "--time-limit soon",
        "--time-limit 0",
        "--trial-time-limit 1y",
        "--total-epochs 0",
        "--eta 0",
        "--min-epochs 0",
        "--warm-start ../elsewhere",
        "--disk-budget 0",
        "--disk-budget 1",
        "--disk-budget 9999",
        "--max-params 0",
        "--max-macs many",
        "--max-latency-ms 0",
    ],
)
def test_wrong_flag_exits_with_2(line, capsys):
    with pytest.raises(SystemExit) as end:
        _flags(line)
    assert end.value.code == 2
    assert line.split()[0] in capsys.readouterr().err


def test_name_that_is_too_long_for_a_folder_is_wrong_usage(capsys):
    with pytest.raises(SystemExit):
        _flags(f"--study {'a' * 201}")
    assert "aaaaaaaaaaaaaaaaaaaa... is too long; a study's name has at most 200 letters" in capsys.readouterr().err
    assert _flags(f"--study {'a' * 200}").study == "a" * 200


def test_empty_address_is_no_cluster(capsys):
    with pytest.raises(SystemExit):
        _flags("--cluster=")
    assert "--cluster: '' is no address; write that of a Dask scheduler" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "error"),
    [("--algorithm bayes", UsageError), ("--objective loss", UsageError), ("--space smal", SpaceError)],
)
def test_unknown_name_is_wrong_usage_with_a_suggestion(line, error):
    with pytest.raises(error, match=r"Did you mean"):
        resolve(_flags(line), None)


@pytest.mark.parametrize("line", ["", "--seed 4", "--space tiny --max-epochs 3 --image-size 8x9"])
def test_continued_study_keeps_its_settings(line):
    assert resolve(_flags(line), STORED) == STORED


@pytest.mark.parametrize("line", ["", "--gpus-per-trial 2"])
def test_study_of_several_gpus_a_trial_keeps_them(line):
    stored = dataclasses.replace(STORED, gpus_per_trial=2)
    assert resolve(_flags(line), stored) == stored
    with pytest.raises(StudyError, match="--gpus-per-trial is 2 in the study and 1 now"):
        resolve(_flags("--gpus-per-trial 0.5"), stored)


@pytest.mark.parametrize("total", [6, 500])
def test_continued_study_may_grow(total):
    assert resolve(_flags(f"--trials {total}"), STORED).trials == total
    assert resolve(_flags(f"--total-epochs {total}"), STORED) == dataclasses.replace(STORED, total_epochs=total)


@pytest.mark.parametrize(("line", "total"), [("", 200), ("--total-epochs 300", 300)])
def test_study_of_so_many_epochs_goes_on_without_the_flag_and_with_more(line, total):
    stored = dataclasses.replace(STORED, trials=None, total_epochs=200)
    assert resolve(_flags(line), stored).total_epochs == total


@pytest.mark.parametrize(
    ("flag", "algorithm"),
    [("--eta 3", name) for name in ALGORITHMS if name not in WITH_RUNGS]
    + [("--min-epochs 1", name) for name in ALGORITHMS if name not in WITH_MIN_EPOCHS],
)
def test_flag_for_rungs_is_refused_where_there_are_none(flag, algorithm):
    with pytest.raises(UsageError, match=rf"^{flag[:-2]} has no effect on --algorithm {algorithm}; .* asha"):
        resolve(_flags(f"--algorithm {algorithm} {flag}"), None)
    with pytest.raises(UsageError, match="has no effect"):
        resolve(_flags(flag), dataclasses.replace(STORED, algorithm=algorithm))


@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - set(WITH_WARM_START)))
def test_warm_start_is_refused_where_nothing_would_learn_from_it(algorithm):
    with pytest.raises(UsageError, match=rf"^--warm-start has no effect on --algorithm {algorithm}; .* asha"):
        resolve(_flags(f"--algorithm {algorithm} --warm-start earlier"), None)


@pytest.mark.parametrize(("line", "allowed"), [("--eta 1", "at least 2"), ("--min-epochs 10", "from 1 to 9")])
def test_rungs_that_cannot_be_are_wrong_usage(line, allowed):
    with pytest.raises(UsageError, match=rf"^{line[:-2].strip()} is .*; allowed is {allowed}"):
        resolve(_flags(f"--algorithm asha {line}"), None)


def test_queue_is_read_into_the_configuration_and_kept(tmp_path):
    for name, queue in {"mine": [{"width": 8}, {}], "same": [{"width": 8}, {}], "other": [{"width": 4}]}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(queue, indent=3))
    config = resolve(_flags(f"--enqueue {tmp_path}/mine.json"), None)
    assert config.enqueue == ({"width": 8}, {})
    assert resolve(_flags(), config) == resolve(_flags(f"--enqueue {tmp_path}/same.json"), config) == config
    for stored in (config, dataclasses.replace(config, enqueue=())):
        with pytest.raises(StudyError, match="--enqueue has other configurations than those that the study keeps"):
            resolve(_flags(f"--enqueue {tmp_path}/other.json"), stored)


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        ("--seed 0", "--seed is 4 in the study and 0 now"),
        ("--jit", "--jit is off in the study and on now"),
        ("--augment", "--augment is off in the study and on now"),
        ("--class-weights", "--class-weights is off in the study and on now"),
        ("--gpus-per-trial 2", "--gpus-per-trial is 1 in the study and 2 now"),
        ("--space small", "--space is tiny in the study and small now"),
        ("--dataset folder:x", "--dataset is digits in the study and folder:x now"),
        ("--algorithm random", "--algorithm is hyperband in the study and random now"),
        ("--max-epochs 4", "--max-epochs is 3 in the study and 4 now"),
        ("--objective val_loss", "--objective is val_accuracy in the study and val_loss now"),
        ("--batch-size 64", "--batch-size is 32 in the study and 64 now"),
        ("--validation-fraction 0.3", "--validation-fraction is 0.2 in the study and 0.3 now"),
        ("--test-fraction 0.3", "--test-fraction is 0.0 in the study and 0.3 now"),
        ("--image-size 8", "--image-size is 8x9 in the study and 8x8 now"),
        ("--images 9", "--images is not given in the study and 9 now"),
        ("--eta 4", "--eta is 3 in the study and 4 now"),
        ("--min-epochs 2", "--min-epochs is 1 in the study and 2 now"),
        ("--warm-start earlier", "--warm-start is not given in the study and earlier now"),
        ("--mixed-precision on", "--mixed-precision is off in the study and on now"),
    ],
)
def test_changed_flag_is_spelled_out_with_the_way_out(line, phrase):
    with pytest.raises(StudyError) as refused:
        resolve(_flags(line), STORED)
    assert phrase in str(refused.value)
    assert "--study NAME" in str(refused.value)


def test_file_of_a_space_may_have_moved_or_have_another_name():
    """Until then one error said to leave --space out, and without it another to give the file that had gone."""
    stored = dataclasses.replace(STORED, space="old/mine.py")
    assert resolve(_flags("--space new.py"), stored) == dataclasses.replace(stored, space="new.py")
    assert moved(stored, space="new.py", dataset=None).space == "new.py"
    assert moved(stored) == stored
    for kept, line in ((stored, "--space tiny"), (STORED, "--space new.py")):
        with pytest.raises(RequestError, match=r"--space is .* in the study and .* now"):
            resolve(_flags(line), kept)


def test_all_changed_flags_are_named_at_once():
    with pytest.raises(StudyError, match=r"--max-epochs.*--seed|--seed.*--max-epochs"):
        resolve(_flags("--seed 1 --max-epochs 4"), STORED)


@pytest.mark.parametrize(
    ("is_new", "line"), [(True, "Study     results/mine (new)"), (False, "Study     results/mine")]
)
def test_new_study_is_told_so_that_a_wrong_name_shows(is_new, line):
    facts = Facts(train=9, validation=3, input_shape=(8, 8, 1), classes=2, mean=(1.0,), variance=(500.0,))
    folder, config = Path("results/mine"), resolve(_flags("--space small"), None)
    assert line in described(config, load_space("small"), facts, folder, enqueued=0, is_new=is_new)


def test_images_that_are_set_aside_are_told():
    facts = Facts(train=9, validation=3, input_shape=(8, 8, 1), classes=2, mean=(1.0,), variance=(500.0,), set_aside=4)
    config = resolve(_flags("--test-fraction 0.25"), None)
    told = described(config, load_space("small"), facts, Path("results/mine"), enqueued=0, is_new=True)
    assert (
        "Data      digits: 9 training and 3 validation images of 8x8x1, 2 classes; 4 more are set aside for the test"
        in told
    )


@pytest.mark.parametrize(
    ("sizes", "objective", "is_told"),
    [
        ((9, 40), "val_accuracy", True),
        ((9, 40), "val_balanced_accuracy", False),
        ((9, 40), "val_loss", False),
        ((10, 40), "val_accuracy", False),
        ((), "val_accuracy", False),
        ((0, 40), "val_accuracy", True),
    ],
)
def test_uneven_classes_are_told_of(sizes, objective, is_told):
    facts = Facts(
        train=49, validation=3, input_shape=(8, 8, 1), classes=2, mean=(1.0,), variance=(500.0,), class_sizes=sizes
    )
    config = resolve(_flags(f"--objective {objective}"), None)
    told = described(config, load_space("small"), facts, Path("results/mine"), enqueued=0, is_new=True)
    line = f"Classes   have {min(sizes, default=0)} to 40 training images, and accuracy counts images; "
    assert (f"{line}--objective val_balanced_accuracy counts all classes alike" in told) == is_told


def test_augmentation_is_told():
    facts = Facts(train=9, validation=3, input_shape=(8, 8, 1), classes=2, mean=(1.0,), variance=(500.0,))
    told = []
    for line in ("", "--augment", "--class-weights"):
        config = resolve(_flags(line), None)
        told.append(described(config, load_space("small"), facts, Path("results/mine"), enqueued=0, is_new=True))
    assert [line for line in told[1] if line not in told[0]] == [
        "Augment   whether training images are mirrored, and how far they are moved at random, is searched"
    ]
    assert [line for line in told[2] if line not in told[0]] == [
        "Weights   whether all classes weigh alike in the loss is searched"
    ]


@pytest.mark.parametrize(
    ("variance", "told"),
    [
        ((6.25,), "Contrast  a standard deviation of 2.5; few of 255 levels are used: scale the images, those of 16 "),
        ((0.0, 1.0, 0.0), "Contrast  a standard deviation of 1.0; "),
        ((0.0, 70.0, 0.0), None),
        ((5000.0,), None),
    ],
)
def test_images_of_few_levels_are_told_of(variance, told, tmp_path):
    facts = Facts(train=9, validation=3, input_shape=(8, 8, 1), classes=2, mean=(1.0,), variance=variance)
    config = resolve(_flags("--space small"), None)
    lines = described(config, load_space("small"), facts, tmp_path, enqueued=0, is_new=False)
    contrast = [line for line in lines if line.startswith("Contrast")]
    assert contrast[0].startswith(told) if told else not contrast


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("", "small-digits-{default}-{today}"),
        ("--space tiny --algorithm random", "tiny-digits-random-{today}"),
        ("--space own/my_space.py --dataset folder:/data/my-pets/", "my_space-my-pets-{default}-{today}"),
        ("--dataset tfds:emnist/balanced:3.1.0", "small-balanced-3.1.0-{default}-{today}"),
        ("--augment", "small-augment-digits-{default}-{today}"),
        ("--augment --class-weights", "small-augment-class-weights-digits-{default}-{today}"),
        ("--space .own.py", "own-digits-{default}-{today}"),
        ("--space (2).py --dataset folder:" + 200 * "猫", "2--" + 20 * "猫" + "-{default}-{today}"),
        ("--study mine", "mine"),
    ],
)
def test_study_is_named_after_what_it_searches(line, name):
    today = datetime.date.today().isoformat()
    assert study_name(_flags(line)) == name.format(today=today, default=DEFAULT_ALGORITHM)


@pytest.mark.parametrize(
    ("line", "mixed"), [("", True), ("--mixed-precision auto", True), ("--mixed-precision off", False)]
)
def test_new_study_uses_bfloat16_where_the_machine_is_made_for_it(line, mixed, fast_bfloat16):
    fast_bfloat16[0] = {(8, 8)}
    assert resolve(_flags(line), None).mixed_precision is mixed


@pytest.mark.parametrize(
    ("line", "mixed"),
    [
        ("--dataset digits", False),
        ("--dataset digits --image-size 14", True),
        ("--dataset tfds:mnist", True),  # nobody knows before the data is opened
        ("--dataset tfds:mnist --image-size 8x14", False),
    ],
)
def test_precision_goes_by_the_size_of_the_images(line, mixed, fast_bfloat16):
    fast_bfloat16[0] = {(14, 14), None}
    assert resolve(_flags(line), None).mixed_precision is mixed


@pytest.mark.parametrize("stored", [False, True])
def test_continued_study_keeps_its_precision_on_another_machine(stored, fast_bfloat16):
    fast_bfloat16[0] = set() if stored else {(8, 8)}
    config = SearchConfig(space="tiny", max_epochs=3, batch_size=32, mixed_precision=stored)
    assert resolve(_flags(), config).mixed_precision is stored


def test_without_flags_nothing_is_limited_and_workers_are_measured():
    assert limits_of(_flags(), resolve(_flags(), None)) == Limits()
    assert staffing_of(_flags()) == Staffing()
    assert not _flags().deterministic


def test_limits_are_those_of_the_flags():
    flags = _flags("--time-limit 1h30m --trial-time-limit 90 --total-epochs 50 --retries 0 --disk-budget 2G")
    assert limits_of(flags, resolve(flags, None)) == Limits(
        seconds=5400, total_epochs=50, trial_seconds=90, retries=0, disk_bytes=2 * 10**9
    )


@pytest.mark.parametrize(("text", "workers"), [("auto", None), ("0", 0), ("3", 3)])
def test_workers_are_a_number_or_measured(text, workers):
    assert staffing_of(_flags(f"--workers {text}")).workers == workers


@pytest.mark.parametrize(
    ("line", "steps"), [("", 1), ("--steps-per-execution 8", 8), ("--steps-per-execution auto", None)]
)
def test_steps_per_execution_are_no_setting_of_the_study(line, steps):
    assert _flags(line).steps_per_execution == steps
    assert resolve(_flags(line), STORED) == STORED


def test_workers_are_those_of_the_flags():
    others = "--gpus-per-trial 0.5 --worker-memory 3G --threads 4"
    asked = Staffing(gpus_per_trial=0.5, worker_memory=3 * 10**9, threads=4)
    assert staffing_of(_flags(f"--workers 2 {others}")) == dataclasses.replace(asked, workers=2)
    assert staffing_of(_flags(f"--cluster tcp://a:8786 {others}")) == dataclasses.replace(asked, cluster="tcp://a:8786")
    assert staffing_of(_flags("")) == staffing_of(_flags("--threads auto")) == Staffing()


@pytest.mark.parametrize(
    ("made", "again", "workers", "is_ordered"),
    [
        ("--workers 1", "", 1, False),
        ("--workers 0", "", 0, False),
        ("--workers 2", "", None, False),
        ("--workers 1", "--workers 2", 2, False),
        ("--workers 1", "--cluster tcp://a:8786", None, False),
        ("--deterministic --workers 3", "", 3, True),
        ("--deterministic --workers 3", "--workers 2", 2, True),
        ("--deterministic", "", 2, True),  # as many as the search had
        ("", "--deterministic", None, True),
    ],
)
def test_study_keeps_what_makes_it_repeatable(made, again, workers, is_ordered):
    stored = resolve(_flags(f"--space tiny {made}"), None).ordered(2)
    continued = resolve(_flags(again), stored)
    assert staffing_of(_flags(again), continued).workers == workers
    assert continued.deterministic == is_ordered


def _running(line):
    parser = argparse.ArgumentParser()
    add_running_flags(parser)
    return parser.parse_args(line.split())


@pytest.mark.parametrize(
    ("given", "repeated"),
    [
        ("", ""),
        ("--workers auto --time-limit 30m", ""),
        ("--workers 0", "--workers 0"),
        ("--threads auto", ""),
        ("--threads 2 --workers 1", "--workers 1 --threads 2"),
        ("--steps-per-execution 4", "--steps-per-execution 4"),
        ("--steps-per-execution auto", "--steps-per-execution auto"),
        ("--workers 2 --deterministic --retries 0", "--workers 2 --retries 0 --deterministic"),
        ("--disk-budget 2G --trial-time-limit 1m", "--trial-time-limit 60.0 --disk-budget 2000000000"),
    ],
)
def test_command_that_goes_on_repeats_how_the_search_runs(given, repeated):
    assert running_flags(_running(given)) == repeated.split()
    assert running_flags(_running(repeated)) == repeated.split()


def test_backbone_has_a_space_of_its_own_and_is_a_setting():
    config = resolve(_flags("--backbone mobilenetv2"), None)
    assert (config.space, config.backbone) == ("backbone", "MobileNetV2")
    assert resolve(_flags("--backbone VGG16 --space tiny"), None).space == "tiny"
    assert SearchConfig.from_dict(config.to_dict()) == config
    assert resolve(_flags(), config) == config
    with pytest.raises(StudyError, match="--backbone is MobileNetV2 in the study and VGG16 now"):
        resolve(_flags("--backbone VGG16"), config)


def test_study_from_before_backbones_goes_on():
    old = {name: value for name, value in STORED.to_dict().items() if name != "backbone"}
    assert resolve(_flags(), SearchConfig.from_dict(old)) == STORED


@pytest.mark.parametrize(("name", "hint"), [("MobilNetV2", "MobileNetV2"), ("resnet-50", "ResNet50"), ("zzz", "")])
def test_unknown_backbone_is_refused_with_all_that_there_are(name, hint):
    with pytest.raises(UsageError) as caught:
        resolve(_flags(f"--backbone {name}"), None)
    assert str(caught.value).startswith(f"--backbone is {name!r}; allowed is one of ConvNeXtBase, ")
    assert str(caught.value).endswith(f" Did you mean {hint!r}?" if hint else "Xception.")


def test_name_of_a_study_has_the_backbone():
    today = datetime.date.today().isoformat()
    assert study_name(_flags("--backbone vgg16")) == f"backbone-VGG16-digits-auto-{today}"
    assert study_name(_flags("--backbone vgg16 --space own.py")) == f"own-VGG16-digits-auto-{today}"
