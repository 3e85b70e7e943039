"""Fresh processes: two of them see the same world, apart from what is run."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from roam_lab.runtime.processes import FreshProcesses


@pytest.mark.parametrize(("own", "expected"), [(None, "0"), ("7", "7")])
def test_hashes_of_strings_are_the_same_in_all(monkeypatch, tmp_path, own, expected):
    """transformers keeps a hash in its generation config; a user's own seed stays."""
    heard = []

    def run(command, *, env, **_):
        heard.append(env["PYTHONHASHSEED"])
        request = json.loads(Path(command[-1]).read_text())
        Path(request["result"]).write_text("{}")
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    if own is not None:
        monkeypatch.setenv("PYTHONHASHSEED", own)
    processes = FreshProcesses({"factory": "file.py:make"}, tmp_path)
    for mode in ("eager", "planned"):
        processes.run(mode)
    assert heard == [expected, expected]
