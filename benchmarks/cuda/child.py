"""What runs in the process of one cell: it reads a job, runs its stage, and writes a line a part.

Exit status: 0 all parts have their line, 3 the device has to be taken anew for the rest.
`python -m benchmarks.cuda.child JOB.json` runs one alone.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cuda import device, results

LOST = 3


class DeviceLostError(Exception):
    """Nothing more can be run in this process."""


class Cell:
    """What a stage is given: its settings, the folder for what is kept between cells, and where lines go.

    `device`: what lines call the device. `fake`: whether it computes nothing.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.stage, self.name = str(job["stage"]), str(job["cell"])
        self.settings: dict[str, Any] = job["settings"]
        self.work, self.results = Path(job["work"]), Path(job["results"])
        self.plans = Path(job["plans"])
        self.device, self.fake = str(job["device"]), job["device"] == device.FAKE
        self._skip = frozenset(job["skip"])

    def say(self, **line: Any) -> None:
        """Write a line of this cell."""
        results.append(self.results, {"stage": self.stage, "cell": self.name, "device": self.device, **line})

    @contextmanager
    def part(self, name: str) -> Iterator[dict[str, Any]]:
        """Figures put into what this yields are the part's line. An error is a line, too, and the next part runs."""
        figures: dict[str, Any] = {}
        began = time.perf_counter()
        self.say(part=name, status="running")
        try:
            yield figures
            figures.setdefault("status", "done")
        except device.NotPossible as finding:
            figures |= {"status": "not possible", "reason": str(finding)}
        except Exception as error:
            traceback.print_exc()
            figures |= {"status": "failed", "reason": told(error)}
            if device.lost(error):
                raise DeviceLostError from error
        finally:
            if "status" in figures:
                self.say(part=name, seconds=round(time.perf_counter() - began, 3), **figures)

    def wanted(self, name: str) -> bool:
        """Whether a part is to be run: an earlier process of this cell has not written its line."""
        return name not in self._skip


def told(error: BaseException) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0][:300]}"


def main(path: str) -> int:
    """Run the cell of the job file at `path`; the exit status."""
    cell = Cell(json.loads(Path(path).read_text(encoding="utf-8")))
    try:
        device.prepare()
        importlib.import_module(f"benchmarks.cuda.stages.{cell.stage}").run(cell)
    except DeviceLostError:
        return LOST
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
