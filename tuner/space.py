"""Loads a search space: a Python file with a title page and one function `declare(hp)`.

The hyperparameters object is handed in, so nothing here imports Keras Tuner.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import search_spaces
from tuner.errors import SpaceError, did_you_mean
from tuner.imports import import_tensorflow

__all__ = ["AUGMENTATION_NAMES", "CLASS_WEIGHTS", "Space", "blamed", "load_space", "space_names"]

DEFAULT_MAX_EPOCHS = 9
DEFAULT_BATCH_SIZE = 64

_IMPORTS_TENSORFLOW = re.compile(rb"^(import|from)[ \t][^#\n]*\b(tensorflow|keras)", re.MULTILINE)

# What a space may say of how images are augmented.
AUGMENTATION_NAMES = ("horizontal_flip", "translation")
CLASS_WEIGHTS = "class_weights"  # and of how much images of small classes count


@dataclasses.dataclass(frozen=True)
class Space:
    """A search space.

    Args:
        name: Name or path by which it was asked for.
        title: First line of its title page.
        declare: Declares the hyperparameters on a `keras_tuner.HyperParameters`.
        max_epochs: Full budget of one configuration where the user names none.
        batch_size: Images a training step where the user names none.
        callbacks: Returns new `keras.callbacks.Callback` objects for a trial, or None.
        backbone: What the hyperparameter `backbone` is fixed to whatever the file says, or None.
    """

    name: str
    title: str
    declare: Callable[[Any], None]
    max_epochs: int = DEFAULT_MAX_EPOCHS
    batch_size: int = DEFAULT_BATCH_SIZE
    callbacks: Callable[[], list[Any]] | None = None
    backbone: str | None = None

    @property
    def label(self) -> str:
        """The name without folders and ending: fit for the name of a study."""
        return Path(self.name).stem


def space_names() -> list[str]:
    """Returns the names of the spaces that come with the program."""
    return sorted(module.name for module in pkgutil.iter_modules(search_spaces.__path__))


def load_space(name: str, *, backbone: str | None = None, augment: bool = False, class_weights: bool = False) -> Space:
    """Returns the space of a name, or of a file when the name ends in `.py`.

    Args:
        name: Name or path.
        backbone: What the space's `backbone` is fixed to, or None for what the file says.
        augment: Whether how images are augmented is searched too, where the file does not say.
        class_weights: Whether it is searched too if all classes weigh alike in the loss, where the file does not say.

    Raises:
        SpaceError: If there is no such space or file, the file does not run, or it has no `declare(hp)`.
    """
    module = _load_file(Path(name)) if name.endswith(".py") else _load_name(name)
    declare = getattr(module, "declare", None)
    if not callable(declare):
        raise SpaceError(f"The search space {name} has no function declare(hp); search_spaces/small.py shows the form.")
    if backbone is not None:
        declare = _with_backbone(declare, backbone)
    if augment:
        declare = _also(declare, _declare_augmentation)
    if class_weights:
        declare = _also(declare, _declare_class_weights)
    return Space(
        name=name,
        title=((module.__doc__ or "").strip() or name).splitlines()[0],
        declare=declare,
        max_epochs=_positive(module, "MAX_EPOCHS", DEFAULT_MAX_EPOCHS),
        batch_size=_positive(module, "BATCH_SIZE", DEFAULT_BATCH_SIZE),
        callbacks=_function(module, "callbacks"),
        backbone=backbone,
    )


@contextlib.contextmanager
def blamed(function: Callable[..., Any], call: str, space: Space) -> Iterator[None]:
    """Makes of whatever a function of a space raises a `SpaceError` that names its place.

    Args:
        function: The function that is called within.
        call: The call as the space's author reads it, such as `declare(hp)`.
        space: Its space.
    """
    try:
        yield
    except SpaceError:
        raise
    except (Exception, SystemExit) as error:
        where = _file_of(function) or space.name
        reason = str(error).rstrip(".")
        raise SpaceError(f"{call} in {where} fails: {type(error).__name__}: {reason}.") from error


def _file_of(function: Callable[..., Any]) -> str | None:
    try:
        return inspect.getsourcefile(function)
    except TypeError:  # an object that can be called, such as a functools.partial
        return None


def _with_backbone(declare: Callable[[Any], None], backbone: str) -> Callable[[Any], None]:
    """Returns a function that declares what another one does, but for `backbone`, which has one value."""

    @functools.wraps(declare)
    def fixed(hp: Any) -> None:
        declare(_Fixing(hp, backbone))

    return fixed


class _Fixing:
    """Stands for a `keras_tuner.HyperParameters` while a space declares itself."""

    def __init__(self, hp: Any, backbone: str) -> None:
        self._hp = hp
        self._backbone = backbone

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._hp, attribute)
        if attribute not in ("Choice", "Fixed"):
            return found

        def declared(name: str, *args: Any, **kwargs: Any) -> Any:
            return self._hp.Fixed(name, self._backbone) if name == "backbone" else found(name, *args, **kwargs)

        return declared


def _also(declare: Callable[[Any], None], more: Callable[[Any, set[str]], None]) -> Callable[[Any], None]:
    """Returns a function that declares what one does, and then what another does that is told the declared names."""

    @functools.wraps(declare)
    def extended(hp: Any) -> None:
        declare(hp)
        more(hp, {entry.name for entry in hp.space})

    return extended


def _declare_augmentation(hp: Any, declared: set[str]) -> None:
    """Declares how images are mirrored and moved.

    The defaults were the best of what was tried (benchmarks/README.md, *What augmentation brings*). Photos are usually
    moved by up to an eighth, 4 of 32 pixels.
    """
    if "horizontal_flip" not in declared:
        hp.Boolean("horizontal_flip", default=True)
    if "translation" not in declared:
        hp.Float("translation", 0.0, 0.125, step=0.0625, default=0.0)


def _declare_class_weights(hp: Any, declared: set[str]) -> None:
    """Declares whether images of small classes count more; who asks for it has such classes."""
    if CLASS_WEIGHTS not in declared:
        hp.Boolean(CLASS_WEIGHTS, default=True)


def _load_name(name: str) -> ModuleType:
    if name not in space_names():
        raise SpaceError(
            f"There is no search space {name!r}; there are {', '.join(space_names())}, and a path that ends in .py is "
            f"read as a file.{did_you_mean(name, space_names())}"
        )
    return importlib.import_module(f"search_spaces.{name}")


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SpaceError(f"The search space {path} is no file; give the path of a Python file with declare(hp).")
    spec = importlib.util.spec_from_file_location(f"search_space_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SpaceError(f"The search space {path} cannot be imported as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where data classes look for the names of their types
    try:
        if _IMPORTS_TENSORFLOW.search(path.read_bytes()):
            import_tensorflow()  # as all commands do: without its notices, and with the same operations
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise SpaceError(f"The search space {path} does not run: {type(error).__name__}: {error}.") from error
    return module


def _function(module: ModuleType, name: str) -> Callable[[], list[Any]] | None:
    function = getattr(module, name, None)
    if function is not None and not callable(function):
        raise SpaceError(f"{name} of the search space is {function!r}; allowed is a function that returns a list.")
    return function


def _positive(module: ModuleType, constant: str, default: int) -> int:
    value = getattr(module, constant, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SpaceError(f"{constant} of the search space is {value!r}; allowed is a whole number from 1.")
    return value
