"""Files on disk: reading bytes and JSON, gzipped or not, and writing so that no half-written file is left."""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

from roam_lab.errors import FormatError, InputError, OutputError

MOST_UNPACKED_BYTES = 4 * 2**30
"""The most bytes that one gzipped file may unpack to; a graph of 100,000 ops has some 50 million."""
CHUNK_BYTES = 2**24


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of `path`, unpacked if they are gzip (recognized by content, not by name).

    Raises InputError when it cannot be read, FormatError when the gzip data is damaged, truncated, or more than
    MOST_UNPACKED_BYTES.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        return _unpacked(data, path) if data[:2] == b"\x1f\x8b" else data
    except FileNotFoundError:
        made = (
            "give a file that `roam profile -o` or `roam plan -o` has written"
            if ".py:" in path.name
            else "check the path"
        )
        raise InputError(f"{path}: there is no such file; {made}") from None
    except gzip.BadGzipFile:
        raise FormatError(f"{path}: damaged gzip data; write the file again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except EOFError:
        raise FormatError(f"{path}: the gzip data ends too early (truncated); write the file again") from None
    except zlib.error as error:
        raise FormatError(f"{path}: damaged gzip data ({error}); write the file again") from None


def _unpacked(data: bytes, path: Path) -> bytes:
    """Unpack piece by piece, and stop at MOST_UNPACKED_BYTES: a few bytes of gzip can unpack to more than there is
    memory. Raises FormatError."""
    found = bytearray()
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
        while part := packed.read(CHUNK_BYTES):
            found += part
            if len(found) > MOST_UNPACKED_BYTES:
                raise FormatError(
                    f"{path}: unpacks to more than {MOST_UNPACKED_BYTES:,} bytes, which no graph of a step needs; "
                    "unpack it yourself if it is one"
                )
    return bytes(found)


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Parse one JSON object from `path`, gzipped or not. Raises InputError or FormatError."""
    data = read_bytes(path)
    try:
        value = json.loads(data)
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{path}:{error.lineno}:{error.colno}: not valid JSON ({error.msg}); the file is truncated or not ours"
        ) from None
    except (RecursionError, ValueError) as error:
        raise FormatError(f"{path}: not a JSON text ({type(error).__name__}); give a roam file") from None
    if not isinstance(value, dict):
        raise FormatError(f"{path}: holds a JSON {type(value).__name__}, not an object; give a roam file")
    return value


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write to a file beside `path`, flush it to disk, then rename it to `path`. Raises OutputError, and then leaves no
    file of its own behind.

    A symbolic link is followed; what is no regular file (a pipe, /dev/stdout) is written to directly, never replaced.
    """
    temporary: str | None = None
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place with -o"
        ) from None


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """`write_bytes` of UTF-8 text; gzipped (without a time stamp) when the name ends in .gz."""
    data = text.encode()
    write_bytes(path, gzip.compress(data, compresslevel=6, mtime=0) if str(path).endswith(".gz") else data)
