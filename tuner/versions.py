"""Which libraries a result was made with. Standard library only."""

from __future__ import annotations

import importlib.metadata
import platform

__all__ = ["library_versions"]

_LIBRARIES = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "keras-tuner",
    "optuna",
    "tensorflow-datasets",
    "numpy",
    "scikit-learn",
)


def library_versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that decide a result, by name."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
