"""What decides whether a row is still right: the factory's file, what it imports from beside it, and versions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from roam_lab.errors import InputError
from roam_lab.sweeps import sources
from roam_lab.sweeps.sources import imported_anew, sources_of


def test_modules_beside_the_factory_decide_and_others_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net").mkdir()
    files = {
        "train.py": "import torch\nfrom net import blocks\n",
        "net/__init__.py": "",
        "net/blocks.py": "from .parts import part\nfrom . import more\n",
        "net/parts.py": "part = 1\n",
        "net/more.py": "import train\n",
        "notes.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    spec = f"{tmp_path}/train.py:make"
    before = sources_of(spec)
    assert set(before.modules) == {"net", "net.blocks", "net.parts", "net.more", "train"}
    assert sources_of(spec) == before
    for name in files:
        (tmp_path / name).write_text(files[name] + "# changed\n")
        assert (sources_of(spec).digest != before.digest) == (name != "notes.py"), name
        (tmp_path / name).write_text(files[name])
    monkeypatch.setattr(sources, "version", lambda package: "9" if package == "torch" else "1")
    assert sources_of(spec).digest != before.digest


def test_a_file_that_is_no_python_has_sources_too(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def make(:\n")
    assert sources_of(f"{tmp_path}/train.py:make").modules == ()
    with pytest.raises(InputError, match=r"nix\.py: there is no such file"):
        sources_of(f"{tmp_path}/nix.py:make")


def test_modules_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "one_of_mine.py").write_text("value = 1\n")
    import one_of_mine  # type: ignore[import-not-found]

    (tmp_path / "one_of_mine.py").write_text("value = 1000\n")
    with imported_anew(("one_of_mine", "never_imported")):
        import one_of_mine as anew

        assert anew.value == 1000
    assert sys.modules["one_of_mine"] is one_of_mine
    assert one_of_mine.value == 1
