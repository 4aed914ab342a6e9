"""`digits`: the 1,797 images of hand-written digits that scikit-learn ships, as a TFDS data set. No network.

Reference: Alpaydin and Kaynak, 1998, Optical Recognition of Handwritten Digits, https://doi.org/10.24432/C50P49
(scikit-learn has its test part, 8x8 pixels of 0..16).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tuner.data.spec import DIGITS_SIZE
from tuner.data.stratification import hold_out
from tuner.data.tfds import tfds

__all__ = ["SHAPE", "Digits"]

SHAPE = (*DIGITS_SIZE, 1)

_LABELS = tuple("0123456789")
_TEST_FRACTION = 0.2
_LARGEST = 16  # value of a full pixel in scikit-learn's images


class _LocalInfo(tfds.core.DatasetInfo):
    """Facts of a data set that is made here: there are no others, neither on a server nor in a folder for them."""

    def initialize_from_bucket(self) -> None:
        """Asks no server for what is not prepared yet; TFDS would, and leave an empty folder for its answer behind."""


class Digits(tfds.core.GeneratorBasedBuilder):
    """Images of 8x8 grey pixels in ten classes, with a fixed, stratified fifth of them as the test split."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "0..16 scaled to 0..255; stratified test split."}  # noqa: RUF012 - TFDS's interface

    def _info(self) -> Any:
        return _LocalInfo(
            builder=self,
            description="Hand-written digits, 8x8 pixels, as shipped with scikit-learn.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=SHAPE),
                    "label": tfds.features.ClassLabel(names=_LABELS),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://doi.org/10.24432/C50P49",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        """Divides scikit-learn's images into train and test."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        scaled = (bunch.images.astype(np.int64) * 255 + _LARGEST // 2) // _LARGEST  # rounds to the nearest
        images = scaled.astype(np.uint8)[..., np.newaxis]
        train, test = hold_out(bunch.target, fraction=_TEST_FRACTION, names=_LABELS)
        return {
            "train": self._generate_examples(images, bunch.target, train),
            "test": self._generate_examples(images, bunch.target, test),
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, indices: np.ndarray
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for index in indices:
            yield f"{index:04d}", {"image": images[index], "label": int(labels[index])}
