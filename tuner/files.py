"""Text files that are there whole or not at all. Standard library only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tuner.errors import TunerError

__all__ = ["write_whole"]


def write_whole(path: Path, text: str) -> None:
    """Writes a file under a temporary name that is then renamed.

    Raises:
        TunerError: If it cannot be written; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise TunerError(
            f"{path} cannot be written: {error.strerror or error}. Once that is mended, the same command goes on where "
            "the study stands."
        ) from error
