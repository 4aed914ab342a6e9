"""Hyperparameter search for image classifiers with squeeze-and-excitation networks."""

__version__ = "0.1.0"
