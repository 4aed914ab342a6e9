"""Imports what every worker process needs, once, in the process that they are forked from (`tuner/cluster.py`)."""

from tuner.command import import_tensorflow

import_tensorflow()

import tuner.worker  # noqa: E402, F401
