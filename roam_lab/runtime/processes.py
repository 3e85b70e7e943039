"""Work in fresh Python processes: requests and results as JSON files, errors as one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from roam_lab import errors
from roam_lab.errors import RoamError
from roam_lab.runtime.identity import told_difference


class FreshProcesses:
    """Runs requests to `verify_child`, each in a fresh Python process, with files in `folder` between them."""

    def __init__(self, request: dict[str, Any], folder: Path) -> None:
        self.request = request
        self._folder = folder

    def run(self, mode: str, **more: Any) -> dict[str, Any]:
        """Run one child in `mode` (plan, eager, planned, paired), with `more` in its request. Returns its result.
        Raises what it raised, as one sentence."""
        question, answer, log = (self._folder / f"{mode}.{part}" for part in ("request", "result", "log"))
        answer.unlink(missing_ok=True)
        question.write_text(json.dumps({**self.request, **more, "mode": mode, "result": str(answer)}))
        root = str(Path(__file__).resolve().parents[2])
        # hashes of strings, which libraries keep, differ from process to process unless all have one seed
        environment = {"PYTHONHASHSEED": "0", **os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        with log.open("wb") as output:  # what the user's code prints must not mix with ours
            status = subprocess.run(
                [sys.executable, "-m", "roam_lab.runtime.verify_child", str(question)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                check=False,
            ).returncode
        if not answer.exists():
            raise RoamError(f"{self.request['factory']}: the {mode} run {_ending(status)}{_last_line(log)}")
        result: dict[str, Any] = json.loads(answer.read_text())
        if "error" in result:
            raise_error(result["error"], f"{self.request['factory']}: the {mode} run")
        return result

    def amount(self, name: str) -> str:
        """By how much the value `name` differs, in words: runs eager and planned once more, keeping that value."""
        kept = []
        for mode in ("eager", "planned"):
            path = self._folder / f"{mode}.pt"
            self.run(mode, dump=name, dump_path=str(path))
            kept.append(torch.load(path, weights_only=True))
        return told_difference(*kept)


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed (signal 9): most likely the machine is out of memory; take a smaller batch"
    if status < 0:
        return f"died of signal {-status}"
    return f"ended with status {status} and no result"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"; its last line was: {lines[-1][:200]}" if lines else ""


def raise_error(data: dict[str, str], prefix: str) -> None:
    """Raise, in the parent, the error that a child wrote; `prefix` comes before the text of errors that are not
    ours."""
    kind = getattr(errors, data["kind"], RoamError)
    raise kind(data["message"] if kind is not RoamError else f"{prefix} {data['message']}")
