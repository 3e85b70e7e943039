"""The oldest files of a folder go, and what killed writers left; the newest and the others stay."""

import os
import time

from roam_lab.ir.kept_files import STALE_SECONDS, make_room


def made(path, age, size=10):
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_the_oldest_go_and_the_newest_stays(tmp_path):
    old, new = made(tmp_path / "old.x", 20), made(tmp_path / "new.x", 10)
    other = made(tmp_path / "other.y", 30, 1000)
    make_room(tmp_path, ".x", 20)
    assert old.exists()
    make_room(tmp_path, ".x", 19)
    assert (old.exists(), new.exists()) == (False, True)
    make_room(tmp_path, ".x", 0)
    assert new.exists()
    assert other.exists()


def test_what_a_killed_writer_left_goes_once_it_is_stale(tmp_path):
    stale = made(tmp_path / ".a.x.123", STALE_SECONDS + 60)
    fresh = made(tmp_path / ".b.x.124", 5)
    make_room(tmp_path, ".x", 100)
    assert (stale.exists(), fresh.exists()) == (False, True)


def test_what_is_as_old_as_allowed_stays_and_no_more_goes_than_must(tmp_path, monkeypatch):
    now = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    left = made(tmp_path / ".a.x.1", STALE_SECONDS)
    files = [made(tmp_path / f"{age}.x", age, 10) for age in (50, 40, 30, 20)]
    make_room(tmp_path, ".x", 25)
    assert left.exists()
    assert [one.exists() for one in files] == [False, False, True, True]
    now += 1
    make_room(tmp_path, ".x", 25)
    assert not left.exists()
