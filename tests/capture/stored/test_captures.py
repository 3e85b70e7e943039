"""The folder of captures: written whole or not at all, capped, shared; what is damaged is ignored with a remark."""

import os

import pytest

from roam_lab.capture.stored.captures import SUFFIX, CaptureFolder, entry_data, throw_away


@pytest.fixture
def notes():
    return []


@pytest.fixture
def folder(tmp_path, notes):
    return CaptureFolder(tmp_path / "captures", notes.append)


def data(size=1):
    return entry_data(
        {"nodes": [os.urandom(1).hex() for _ in range(size)]},
        "graph",
        {"model.a": "1"},
        ["code"],
        {"ops": []},
        ["literal"],
        {"result 0": ("", "tensor 1")},
    )


def test_what_was_kept_is_found(folder, notes):
    assert folder.find("key") is None
    folder.keep(folder.path("key"), data())
    found = folder.find("key")
    assert (found.graph_sha256, found.picture, found.code) == ("graph", {"model.a": "1"}, {"code"})
    assert (found.log, found.literals, found.passed) == ({"ops": []}, ("literal",), {})
    assert found.outcome == {"result 0": ("", "tensor 1")}
    assert folder.find("other") is None
    throw_away(found.path)
    throw_away(found.path)
    assert folder.find("key") is None
    assert notes == []


def test_what_a_step_does_not_read_is_noted(folder, notes):
    folder.note_unread(folder.path("key"), "model.a")
    assert folder.find("key") is None
    folder.keep(folder.path("key"), data())
    for path in ("model.b", "model.a", "model.b"):
        folder.note_unread(folder.path("key"), path)
    assert folder.find("key").unread == ("model.a", "model.b")
    assert notes == []


def test_what_has_passed_is_noted(folder, notes):
    folder.note_passed(folder.path("key"), "here", {"varied": False})
    assert folder.find("key") is None
    folder.keep(folder.path("key"), data())
    folder.note_passed(folder.path("key"), "here", {"varied": False})
    folder.note_passed(folder.path("key"), "there", {"varied": False})
    folder.note_passed(folder.path("key"), "here", {"varied": True})
    assert folder.find("key").passed == {"here": {"varied": True}, "there": {"varied": False}}
    assert notes == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "roam-plan/2"}', '{"format": "roam-capture/3"}'])
def test_what_is_damaged_is_told(text, folder, notes):
    folder.folder.mkdir()
    folder.path("key").write_text(text)
    assert folder.find("key") is None
    assert notes[0].startswith("a capture in the cache is not used: ")
    assert "\n" not in notes[0]


def test_what_is_truncated_is_told(folder, notes):
    folder.keep(folder.path("key"), data(100))
    folder.path("key").write_bytes(folder.path("key").read_bytes()[:60])
    assert folder.find("key") is None
    assert "truncated" in notes[0]


def test_a_folder_that_cannot_be_written_is_told(tmp_path, notes):
    (tmp_path / "file").write_text("")
    folder = CaptureFolder(tmp_path / "file" / "captures", notes.append)
    folder.keep(folder.path("key"), data())
    assert notes[0].startswith("the capture is not kept for the next start: ")
    assert folder.find("key") is None


def test_what_was_not_used_for_longest_goes(tmp_path, notes):
    CaptureFolder(tmp_path, notes.append).keep(tmp_path / "a", data())
    folder = CaptureFolder(tmp_path, notes.append, most_bytes=int(2.5 * (tmp_path / "a").stat().st_size))
    (tmp_path / "a").unlink()
    for age, key in enumerate(("one", "two")):
        folder.keep(folder.path(key), data())
        os.utime(folder.path(key), (age + 1, age + 1))
    folder.find("one")
    folder.keep(folder.path("three"), data())
    assert {one.name.removesuffix(SUFFIX) for one in tmp_path.iterdir()} == {"one", "three"}


def test_what_a_killed_process_left_is_taken_away(folder):
    folder.keep(folder.path("key"), data())
    left = folder.folder / f".key{SUFFIX}.a1b2"
    left.write_text("{")
    os.utime(left, (1, 1))
    folder.keep(folder.path("other"), data())
    assert not left.exists()
