"""What a verification tells."""

import pytest

from roam_lab.runtime.measured_run import RunFigures
from roam_lab.runtime.verification import Verification


def figures(peak: int) -> RunFigures:
    return RunFigures(
        peak_above_base_bytes=peak, base_bytes=0, step_seconds=(0.1, 0.1), losses=(1.0,), how="", reserved_bytes=None
    )


@pytest.mark.parametrize(
    ("eager", "planned", "message"),
    [
        (2**22, 2**21, "eager 4.0 MiB, planned 2.0 MiB (0.50 x), arena 1.0 MiB"),
        (0, 720_896, "eager 0.0 MiB, planned 0.7 MiB (too little to compare), arena 1.0 MiB"),
    ],
)
def test_a_ratio_only_of_what_can_be_compared(eager: int, planned: int, message: str) -> None:
    result = Verification(True, (), 4, "cpu", figures(eager), figures(planned), 2**20)
    assert any(message in line for line in result.lines())
