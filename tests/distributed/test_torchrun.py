"""A script under torchrun: a sampler, a smaller last batch, BatchNorm, autocast, clipping, a scheduler, evaluations."""

import os
import re
import subprocess
import sys
from pathlib import Path


def ran(*arguments):
    script = Path(__file__).with_name("train.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"rank (\d) ([0-9a-f]{64}) (\d+) (\d+)", done.stdout)
    return {int(rank): (digest, int(planned), int(eager)) for rank, digest, planned, eager in found}


def test_a_script_trains_to_the_same_bits():
    eager, planned = ran(), ran("hooked")
    assert eager.keys() == planned.keys() == {0, 1}
    for rank, (digest, *_) in eager.items():
        assert planned[rank] == (digest, 11, 1)  # the first step arranges buckets
