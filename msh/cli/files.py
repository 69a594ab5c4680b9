"""Writing files that must never take another one's place."""

from __future__ import annotations

import os
from pathlib import Path

from msh.errors import UsageError

#: Only the file's owner may read it; else what the umask leaves.
SECRET, OPEN = 0o600, 0o666


def write_new(path: Path, content: bytes, mode: int = OPEN) -> None:
    """Write a file that is not there yet, whole and on disk. Raises `UsageError`."""
    try:
        binary = getattr(os, "O_BINARY", 0)  # Windows
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | binary, mode)
    except FileExistsError:
        raise UsageError(
            f"{path} is there already, and nothing is overwritten; name another file, or move it "
            "away"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)  # half a key is worse than none
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
