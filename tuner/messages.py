"""What the driver and the workers tell each other, as plain data that travels between processes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner.config import BALANCED, SearchConfig
from tuner.data import Dataset, DataSpec
from tuner.quantities import counted
from tuner.space import Space, load_space

__all__ = ["Facts", "Measurement", "Progress", "Session", "Task"]

# By which the mean of 256 levels, and the variance, of the same images may be apart: machines round resized ones in
# their own ways.
SAME_LEVELS = 0.01

_TITLES = {
    "turned": "the number of images that are turned upright",
    "classes": "the number of classes",
    "train": "the number of training images",
    "validation": "the number of validation images",
    "input_shape": "the size of the images",
    "mean": "the mean of the pixels",
    "variance": "the variance of the pixels",
}
_SIZES = {"class_sizes": "training images", "validation_sizes": "validation images"}
_MEANS = {"class_means": "training images", "validation_means": "validation images"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """What all trials of a search share.

    Args:
        data: The data set.
        space: Name or path of the search space.
        backbone: What the space's `backbone` is fixed to, or None.
        augment: Whether how images are augmented is searched too.
        max_epochs: Full budget of one configuration.
        batch_size: Images a training step.
        mixed_precision: Whether feature maps are bfloat16 while training and evaluating.
        jit: Whether XLA compiles the steps.
        replicas: Devices that share each batch of a training, >= 1.
        cores: Processor cores of one worker; None means all.
        threads: Threads that share an operation; None chooses by the size of the images. Results depend on it in their
            last bits.
        memory: Bytes of memory that one worker should stay below; None means no limit.
        steps_per_execution: Training steps in one call of a program; None chooses by measurement. It changes no result.
        balances: Whether the metric `balanced_accuracy` is measured too.
        class_weights: Whether it is searched too if all classes weigh alike in the loss.
    """

    data: DataSpec
    space: str
    max_epochs: int
    batch_size: int
    backbone: str | None = None
    augment: bool = False
    mixed_precision: bool = False
    jit: bool = False
    replicas: int = 1
    cores: int | None = None
    threads: int | None = None
    memory: int | None = None
    steps_per_execution: int | None = 1
    balances: bool = False
    class_weights: bool = False

    @classmethod
    def of(cls, config: SearchConfig, data_dir: str | None, **options: Any) -> Session:
        """Returns the session of a search; `data_dir` is where tensorflow-datasets keeps data, None for its default."""
        return cls(
            data=DataSpec(
                config.dataset,
                image_size=config.image_size,
                validation_fraction=config.validation_fraction,
                test_fraction=config.test_fraction,
                data_dir=data_dir,
                images=config.images,
            ),
            space=config.space,
            backbone=config.backbone,
            augment=config.augment,
            max_epochs=config.max_epochs,
            batch_size=config.batch_size,
            mixed_precision=config.mixed_precision,
            jit=config.jit,
            replicas=config.gpus_per_trial,
            balances=config.objective == BALANCED,
            class_weights=config.class_weights,
            **options,
        )

    def load_space(self) -> Space:
        """Returns the search space.

        Raises:
            SpaceError: If it cannot be loaded.
        """
        return load_space(self.space, backbone=self.backbone, augment=self.augment, class_weights=self.class_weights)

    def elsewhere(self) -> Session:
        """Returns the same for workers that were started in another folder: with whole paths."""
        data = self.data
        if data.kind == "folder":
            data = dataclasses.replace(data, source=f"folder:{Path(data.location).expanduser().absolute()}")
        if data.data_dir and "://" not in data.data_dir:  # it may be a bucket
            data = dataclasses.replace(data, data_dir=str(Path(data.data_dir).expanduser().absolute()))
        space = str(Path(self.space).absolute()) if self.space.endswith(".py") else self.space
        return dataclasses.replace(self, data=data, space=space)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What the driver knows of the data without having loaded it.

    Args:
        train: Number of training images.
        validation: Number of validation images.
        input_shape: `(height, width, channels)` of every image.
        classes: Number of classes.
        mean: Mean of each channel of the training images.
        variance: Variance of each channel.
        labels: Names of the classes in the order of the label numbers; none where they are not known.
        class_means: Mean of all pixels of the training images of each class; none where they are not known.
        validation_means: The same of the validation images.
        set_aside: Number of images that are set aside for the test and are none of the training images.
        class_sizes: Number of training images of each class; none where they are not known.
        validation_sizes: The same of the validation images.
        turned: Number of image files that are turned upright as their EXIF orientation says. Versions that did not
            turn them did not tell it.
    """

    train: int
    validation: int
    input_shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    variance: tuple[float, ...]
    labels: tuple[str, ...] = ()
    class_means: tuple[float, ...] = ()
    validation_means: tuple[float, ...] = ()
    set_aside: int = 0
    class_sizes: tuple[int, ...] = ()
    validation_sizes: tuple[int, ...] = ()
    turned: int = 0

    @classmethod
    def of(cls, dataset: Dataset) -> Facts:
        """Returns the facts about a data set."""
        mean, variance = dataset.channel_statistics()
        class_means, validation_means = dataset.class_means()
        class_sizes, validation_sizes = dataset.class_sizes()
        return cls(
            train=len(dataset.train),
            validation=len(dataset.validation),
            input_shape=dataset.input_shape,
            classes=dataset.classes,
            mean=mean,
            variance=variance,
            labels=dataset.labels,
            class_means=class_means,
            validation_means=validation_means,
            set_aside=dataset.set_aside,
            class_sizes=class_sizes,
            validation_sizes=validation_sizes,
            turned=dataset.turned,
        )

    @property
    def contrast(self) -> float:
        """Standard deviation of the training pixels in levels of 0..255, of the channel that has most."""
        return math.sqrt(max(self.variance))

    def differences(self, then: Mapping[str, Any]) -> list[str]:
        """Returns what is different from facts that were stored as plain data, for a person to read."""
        told = []
        if self.turned and "turned" not in then:
            images = counted(self.turned, "image is", "images are")
            told = [f"{images} turned upright as the EXIF orientation says, which this program did not do then"]
        for name, title in _TITLES.items():
            before, after = _several(then.get(name, 0)), _several(getattr(self, name))
            if len(before) != len(after) or any(abs(a - b) > SAME_LEVELS for a, b in zip(before, after, strict=True)):
                shown = ("x".join(f"{each:.6g}" for each in values) for values in (before, after))
                told.append(f"{title} was {' and is '.join(shown)}")
        names = zip(then.get("labels", ()), self.labels, strict=False)  # another number of them is told already
        told += [f"the name of class {i} was {a!r} and is {b!r}" for i, (a, b) in enumerate(names) if a != b][:1]
        for name, title in _SIZES.items():
            pairs = enumerate(zip(then.get(name, ()), getattr(self, name), strict=False))
            told += [f"the number of {title} of class {i} was {a} and is {b}" for i, (a, b) in pairs if a != b][:1]
        for name, title in _MEANS.items():
            pairs = enumerate(zip(then.get(name, ()), getattr(self, name), strict=False))
            told += [
                f"the mean of the pixels of the {title} of class {i} was {a:.6g} and is {b:.6g}"
                for i, (a, b) in pairs
                if abs(a - b) > SAME_LEVELS
            ][:1]
        return told


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One trial to be trained.

    Args:
        hyperparameters: Active values by name.
        initial_epoch: Epochs that the run has behind it.
        epochs: Epochs that the run will have behind it.
        seed: Seed of the weights and of the order of the images.
        checkpoint: File that takes the training state, or None; a state found there is gone on from.
        parent: File with the state at `initial_epoch`, or None. Where it is lost, the run is trained again from its
            beginning, with the same result.
        keep: Whether another trial may continue this one.
        seconds: Time after which the trial is given up, or None.
    """

    hyperparameters: Mapping[str, Any]
    initial_epoch: int
    epochs: int
    seed: int
    checkpoint: str | None = None
    parent: str | None = None
    keep: bool = True
    seconds: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """What has come of a trial since its worker last told.

    Args:
        status: `running` while there is more to train, else how the trial ended (`tuner/records.py`).
        curve: Metric values by name, one an epoch; `epoch` holds the absolute epochs, from 1.
        seconds: Wall time since the worker began the trial.
        images_per_second: Training images over the time of the last epoch, or None.
        wait_seconds: Time from the end of the worker's last trial to the first step of this one; None for its first.
        memory: Bytes of memory that the worker holds.
        message: What went wrong, or what else a person should know, or an empty text.
    """

    status: str
    curve: Mapping[str, list[float]]
    seconds: float
    images_per_second: float | None = None
    wait_seconds: float | None = None
    memory: int = 0
    message: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """What the default configuration costs on one worker.

    Args:
        start_seconds: Compiling the steps of a structure.
        epoch_seconds: Training one epoch and evaluating the validation images.
        images_per_second: Images trained a second.
    """

    start_seconds: float
    epoch_seconds: float
    images_per_second: float = 0.0


def _several(fact: Any) -> Sequence[float]:
    return fact if isinstance(fact, list | tuple) else [fact]
