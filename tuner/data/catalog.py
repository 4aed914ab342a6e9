"""Opens and prepares data sets of TFDS, and says in one sentence why one cannot be had."""

from __future__ import annotations

import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from tuner.data.quiet import quiet
from tuner.data.source import Source, describe, feature_keys
from tuner.data.tfds import tfds
from tuner.errors import DataError, did_you_mean

__all__ = ["open_digits", "open_named", "prepared"]

OnShape = Callable[[tuple[int | None, int | None, int]], None]

# The way out for data sets that can be had without the internet.
_OFFLINE = {
    "fashion_mnist": "Debian's package dataset-fashion-mnist has its files: python -m tuner.data prepare "
    "fashion_mnist --from /usr/share/datasets/fashion-mnist"
}


def open_digits(data_dir: str | None, *, on_shape: OnShape | None = None) -> Source:
    """Opens scikit-learn's digits, prepared on first use.

    Args:
        data_dir: TFDS's data directory; None is its default.
        on_shape: As in `open_named`.

    Raises:
        DataError: If the directory cannot be written.
    """
    from tuner.data.digits import SHAPE, Digits

    if on_shape:
        on_shape(SHAPE)
    way_out = "Check that TFDS's data directory can be written; TFDS_DATA_DIR names another."
    return describe("digits", prepared("digits", lambda: Digits(data_dir=data_dir), way_out=way_out))


def open_named(name: str, data_dir: str | None, *, on_shape: OnShape | None = None) -> Source:
    """Opens a data set of TFDS by name, downloading and preparing it where that has not been done.

    Args:
        name: As in `tfds.builder`, such as `fashion_mnist` or `emnist/balanced:3.1.0`.
        data_dir: TFDS's data directory; None is its default.
        on_shape: Told the `(height, width, channels)` of the images, with None where they differ, before anything is
            prepared: that is computed by TensorFlow, whose threads are settled from then on.

    Raises:
        DataError: If there is no such data set, it cannot be prepared, or it has no images with class labels.
    """
    with quiet():
        builder = _find(name, data_dir)
        image_key, _ = feature_keys(name, builder.info)
        if on_shape:
            on_shape(builder.info.features[image_key].shape)
        if not builder.is_prepared():
            way_out = _way_out(name, builder)
            _check_network(name, builder, way_out=way_out)
            builder = prepared(name, lambda: _find(name, data_dir), way_out=way_out)
    return describe(builder.name, builder)


def prepared(name: str, open_builder: Callable[[], Any], *, way_out: str, **arguments: Any) -> Any:
    """Returns a builder whose data is prepared, which TFDS does in a folder that it renames when complete.

    Two processes may prepare the same data at once: the second rename fails, and the first one's data is used.

    Args:
        name: Name for messages.
        open_builder: Makes the builder; called again afterwards, because TFDS reads what was prepared only then.
        way_out: Ends the message if that fails.
        **arguments: For `download_and_prepare`.

    Raises:
        DataError: If the data cannot be downloaded or prepared.
    """
    with quiet():
        builder = open_builder()
        if builder.is_prepared():
            return builder
        try:
            builder.download_and_prepare(**arguments)
        except Exception as error:
            # TFDS holds over a thousand builders, each with errors of its own kind.
            if not open_builder().is_prepared():
                raise DataError(f"{name} cannot be prepared: {_first_sentence(error)} {way_out}") from error
        builder = open_builder()
        if not builder.is_prepared():  # TFDS takes any folder of that name for prepared data
            raise DataError(f"{name} is incomplete in {builder.data_dir}; remove that folder and try again.")
        return builder


def _find(name: str, data_dir: str | None) -> Any:
    """Returns a TFDS builder by name."""
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        where = "https://www.tensorflow.org/datasets/catalog lists them; a folder of images is written folder:PATH."
        hint = did_you_mean(_base(name), known) or f" {where}"
        raise DataError(f"TensorFlow Datasets has no data set {name!r}.{hint}") from error
    except (AssertionError, ValueError) as error:  # an unknown configuration or version
        config = name.partition("/")[2].partition(":")[0]
        hint = did_you_mean(config, tfds.builder_cls(_base(name)).builder_configs)
        raise DataError(f"TensorFlow Datasets cannot open {name!r}: {_first_sentence(error)}{hint}") from error


def _way_out(name: str, builder: Any) -> str:
    """Returns what a person can do if TFDS cannot prepare the data."""
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return (
            f"Its files are downloaded by hand, as https://www.tensorflow.org/datasets/catalog/{_base(name)} says, and "
            f"prepared with: tfds build {name} --manual_dir DIR"
        )
    default = f"Prepare it where there is a network (tfds build {name}) and copy TFDS's data directory here."
    return _OFFLINE.get(_base(name), default)


def _check_network(name: str, builder: Any, *, way_out: str) -> None:
    """Says at once that a download is impossible, for which TFDS needs more than 3 minutes of silent attempts.

    Raises:
        DataError: If the host of the data is unknown here and no proxy is set.
    """
    hosts = [urllib.parse.urlsplit(url).hostname for url in builder.url_infos or {}]
    if not hosts or not hosts[0] or builder.MANUAL_DOWNLOAD_INSTRUCTIONS or urllib.request.getproxies():
        return
    try:
        socket.getaddrinfo(hosts[0], None)
    except OSError as error:
        raise DataError(f"{name} is not prepared and {hosts[0]} cannot be reached. {way_out}") from error


def _base(name: str) -> str:
    """Returns the name without configuration and version."""
    return name.partition("/")[0].partition(":")[0]


def _first_sentence(error: Exception) -> str:
    """Returns the first sentence of a message that may have many lines, without the builder's arguments."""
    text = re.sub(r"^Failed to construct dataset .*?}\": ", "", str(error).strip()) or type(error).__name__
    return re.split(r"\.\s|\n", text, maxsplit=1)[0].rstrip(".: ") + "."
