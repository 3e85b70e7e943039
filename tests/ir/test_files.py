"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import gzip
import os
from pathlib import Path

import pytest

from roam_lab.errors import FormatError, OutputError
from roam_lab.ir import files, read_json, write_text


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "plan.roam.json"
    path.write_text("before")
    monkeypatch.setattr(os, call, _full)
    with pytest.raises(OutputError, match=r"plan\.roam\.json: cannot be written \(No space left on device\)"):
        write_text(path, "after")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["plan.roam.json"]


def test_nothing_stays_of_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(OutputError):
        write_text(tmp_path / "new.json", "text")
    assert os.listdir(tmp_path) == []


def test_no_such_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose another place with -o"):
        write_text(tmp_path / "none" / "plan.json", "text")


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("before")
    write_text(path, "after")
    assert path.read_text() == "after"
    assert os.listdir(tmp_path) == ["plan.json"]


def test_a_gzip_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b'{"a": "' + b" " * 100_000 + b'"}'))
    assert len(read_json(path)["a"]) == 100_000
    monkeypatch.setattr(files, "MOST_UNPACKED_BYTES", 100_009)
    assert len(read_json(path)["a"]) == 100_000
    monkeypatch.setattr(files, "MOST_UNPACKED_BYTES", 99_999)
    monkeypatch.setattr(files, "CHUNK_BYTES", 1_000)
    with pytest.raises(FormatError, match=r"bomb\.json\.gz: unpacks to more than 99,999 bytes"):
        read_json(path)


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_text(path, "text")
    assert os.read(reading, 10) == b"text"
    os.close(reading)
    assert path.is_fifo()


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0, 0o666)])
def test_who_may_read_a_file_is_what_the_user_set_for_new_ones(tmp_path: Path, mask: int, mode: int) -> None:
    own = os.umask(mask)
    try:
        write_text(tmp_path / "new.json", "text")
        assert os.umask(mask) == mask
    finally:
        os.umask(own)
    assert (tmp_path / "new.json").stat().st_mode & 0o777 == mode


def test_a_name_that_ends_in_gz_is_packed_and_the_same_text_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.json.gz", "two.json.gz", "plain.json"):
        write_text(tmp_path / name, "text")
    packed = (tmp_path / "one.json.gz").read_bytes()
    assert gzip.decompress(packed) == b"text"
    assert (tmp_path / "two.json.gz").read_bytes() == packed
    assert (tmp_path / "plain.json").read_bytes() == b"text"
