"""Imports what every worker process needs, once, in the process that they are forked from (`tuner/forking.py`)."""

from tuner.imports import hidden, import_tensorflow, lasting_imports

with lasting_imports(), hidden("sklearn"):  # which Keras Tuner's Bayesian oracle needs, and no worker
    import_tensorflow()

    import tuner.worker  # noqa: F401
