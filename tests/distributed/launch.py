"""Several ranks on this machine: one process each, with a limit in time, over gloo and a file."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

LIMIT_SECONDS = 110
"""A test takes some 10 s where it has two cores for itself."""


def launch(function: Any, folder: Path, *args: Any, ranks: int = 2, timeout: float = 40.0) -> list[Any]:
    """What `function(*args)` returns on each rank, inside a process group of that `timeout`; fails where a rank raises,
    dies or hangs. An exception that the function wants to show it returns."""
    found = attempt(function, folder, *args, ranks=ranks, timeout=timeout)
    for rank, (outcome, value) in enumerate(found):
        assert outcome == "returned", f"rank {rank} {outcome}:\n{value}"
    return [value for _, value in found]


def attempt(function: Any, folder: Path, *args: Any, ranks: int = 2, timeout: float = 40.0) -> list[tuple[str, Any]]:
    """(how it ended, what it returned or printed) of each rank: "returned", "raised", "died" or "hung"."""
    context = multiprocessing.get_context("spawn")
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    processes = [
        context.Process(target=_run, args=(function, folder, rank, ranks, timeout, args), daemon=True)
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    end = time.monotonic() + LIMIT_SECONDS
    heard: list[tuple[str, Any]] = []
    for rank, process in enumerate(processes):
        process.join(max(0.1, end - time.monotonic()))
        if process.is_alive():
            process.kill()
            heard.append(("hung", ""))
            continue
        answer = folder / f"answer{rank}"
        heard.append(torch.load(answer, weights_only=False) if answer.exists() else ("died", process.exitcode))
        answer.unlink(missing_ok=True)
    return heard


def _run(function: Any, folder: Path, rank: int, ranks: int, timeout: float, args: Any) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank)}
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=ranks,
        timeout=datetime.timedelta(seconds=timeout),
    )
    try:
        answer = ("returned", function(*args))
    except BaseException:
        answer = ("raised", traceback.format_exc())
    torch.save(answer, folder / f"answer{rank}")
    os._exit(0)  # gloo's threads may wait for ranks that are gone
