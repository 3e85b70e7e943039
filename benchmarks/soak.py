"""A long training, hooked and eager, and one that is killed again and again: the same bits, and memory that stays flat.

    python benchmarks/soak.py [--steps 10000] [--killed-steps 1500] [--kills 5] [-o FILE.json]

One script, run in processes of its own: a small transformer with dropout, AdamW and a learning-rate schedule, batches
of ten lengths in turn, an evaluation after every 50th step, a checkpoint after every 250th. `killed`: the hooked one,
ended with SIGKILL at random moments (of training, of capture, of writing plans and checkpoints), and started again from
its last checkpoint, until it is through. Exit status 1 where anything differs from eager, or grows.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from hook_memory import LanguageModel, status
from machine import described, mib, write

import roam_lab as roam

ROOT = Path(__file__).resolve().parents[1]
WORDS, WIDTH, LAYERS = 50, 32, 2
LENGTHS = (24, 8, 40, 12, 32, 16, 36, 20, 28, 10)
EVALUATE, SAVE, LOOK = 50, 250, 500
GROWTH_BYTES = 8 * 2**20
"""By which a process may grow between a tenth of its steps and the last one."""


def tokens(number: int) -> torch.Tensor:
    """The batch of a step: known from its number alone, so that a script that starts again goes on where it was."""
    draws = torch.Generator().manual_seed(number)
    return torch.randint(0, WORDS, (4, LENGTHS[number % len(LENGTHS)]), generator=draws)


def train(hooked: bool, steps: int, folder: Path) -> dict[str, Any]:
    """The script: from its last checkpoint in `folder`, if there is one, to the last step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = LanguageModel(WIDTH, WORDS, LAYERS, dropout=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses: list[float] = []
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        torch.set_rng_state(saved["random"])
        losses = saved["losses"]

    def eagerly(ids: torch.Tensor) -> torch.Tensor:
        loss = model(ids)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    step: Any = roam.hook(model, optimizer) if hooked else eagerly
    looks = []
    for number in range(len(losses), steps):
        losses.append(float(step(tokens(number))))
        schedule.step()
        if number % EVALUATE == EVALUATE - 1:
            model.eval()
            with torch.no_grad():
                losses[-1] += 0 * float(model(tokens(number + steps)))  # nan where it is not finite
            model.train()
        if number % SAVE == SAVE - 1:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
            state |= {"schedule": schedule.state_dict(), "random": torch.get_rng_state()}
            torch.save(state, folder / "checkpoint.new")
            os.replace(folder / "checkpoint.new", checkpoint)
        if number % LOOK == LOOK - 1:
            gc.collect()
            looks.append([status("VmRSS"), threading.active_count(), len(os.listdir("/proc/self/fd"))])
    digest = hashlib.sha256(json.dumps(losses).encode())
    for tensor in (*model.parameters(), *(t for state in optimizer.state.values() for t in state.values())):
        digest.update(tensor.detach().numpy().tobytes())
    return {
        "digest": digest.hexdigest(),
        "looks": looks,
        "peak_bytes": status("VmHWM"),
        "planned_steps": step.planned_steps if hooked else 0,
        "eager_steps": step.eager_steps if hooked else steps,
        "reasons": step.reasons if hooked else {},
        "cache": {"plans": len(list(folder.glob("plans/*"))), "others": _others(folder)},
    }


def _others(folder: Path) -> list[str]:
    """What lies in the cache of plans and is none."""
    return sorted(path.name for path in folder.glob("plans/*") if not path.name.endswith(".roam.json"))


def start(mode: str, steps: int, folder: Path) -> subprocess.Popen[str]:
    """`train` in a process of its own, with a cache of plans of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--child", mode, str(folder), "--steps", str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "ROAM_CACHE": str(folder / "plans")}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def run(mode: str, steps: int) -> dict[str, Any]:
    """One training, undisturbed."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        row = _answer(start(mode, steps, Path(folder)))
        return {**row, "seconds": round(time.perf_counter() - began, 1)}


def run_killed(steps: int, kills: int, seconds: float, seed: int = 0) -> dict[str, Any]:
    """One hooked training that is killed `kills` times, each time within `seconds` of its start."""
    choose = random.Random(seed)
    moments = []
    with tempfile.TemporaryDirectory() as folder:
        while len(moments) < kills:
            child = start("hooked", steps, Path(folder))
            try:
                child.wait(after := choose.uniform(0.0, seconds))
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                child.communicate()
                moments.append(round(after, 1))
            else:
                raise SystemExit("it was through before it was killed; ask for more steps")
        return {**_answer(start("hooked", steps, Path(folder))), "killed_after": moments}


def _answer(child: subprocess.Popen[str]) -> dict[str, Any]:
    out, said = child.communicate()
    if child.returncode:
        raise SystemExit(said.strip()[-2000:])
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def faults(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What is not as it should be."""
    told = []
    for name, against in (("hooked", "eager"), ("killed", "short")):
        if rows[name]["digest"] != rows[against]["digest"]:
            told.append(f"{name}: losses, parameters or optimizer state differ from eager")
    for name, row in rows.items():
        looks = row["looks"]
        early, last = looks[len(looks) // 10], looks[-1]
        if last[0] > early[0] + GROWTH_BYTES:
            told.append(f"{name}: grew from {mib(early[0])} to {mib(last[0])} MiB")
        if last[1:] != early[1:]:
            told.append(f"{name}: {early[1:]} threads and files became {last[1:]}")
        if row["cache"]["others"]:
            told.append(f"{name}: left {row['cache']['others']} in the cache of plans")
    if rows["hooked"]["eager_steps"]:
        told.append(f"hooked: eager steps: {rows['hooked']['reasons']}")
    return told


def main() -> int:
    """Run all four, print what differs or grows, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--killed-steps", type=int, default=1_500)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("-o", "--output", default=str(ROOT / "benchmarks" / "results" / "soak.json"))
    parser.add_argument("--child", nargs=2)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(train(asked.child[0] == "hooked", asked.steps, Path(asked.child[1]))))
        return 0
    short = run("hooked", asked.killed_steps)
    rows = {"eager": run("eager", asked.steps), "hooked": run("hooked", asked.steps)}
    rows["short"] = run("eager", asked.killed_steps)
    rows["killed"] = run_killed(asked.killed_steps, asked.kills, 0.8 * short["seconds"])
    told = faults(rows)
    for name, row in rows.items():
        seen = [mib(look[0]) for look in row["looks"]]
        print(f"{name}: {seen[0]} MiB after {LOOK} steps, {seen[-1]} at the end, {row['planned_steps']} planned, "
              f"{row['eager_steps']} eager, {row.get('seconds', '?')} s")  # fmt: skip
    print(*told or ["all as eager, nothing grows"], sep="\n")
    write(asked.output, json.dumps({**described(), "rows": rows, "faults": told}, indent=1))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
