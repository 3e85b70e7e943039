"""Training steps as strangers' repositories have them, by every way to hook them: see strangers.py."""

import pytest

from tests.situations.judge import GRADIENTS, HONEST, PLANNED, compare
from tests.situations.models import slow_unless
from tests.situations.strangers import ALL, evaluated, schedule_free

EAGER = {
    "graph_attention", "schedule_free", "packed", "connectionist", "detection", "self_distilled", "contrastive",
    "mixed_up", "deep_q", "projected", "adversarial_domains", "experts", "preference", "normalised_returns",
    "layerwise", "translation", "accumulated", "evolving",
}  # fmt: skip
"""Those whose step, or a part of it, is run eagerly and says why."""
OFTEN = {"private", "projected", "uncertain", "centred", "evolving", "quantization_aware", "low_rank", "skip_gram"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_stranger(make):
    slow_unless(make.__name__ in OFTEN)
    between = evaluated if make is schedule_free else None
    right = HONEST if make.__name__ in EAGER else PLANNED
    compare(make, 11, between=between, ignore=GRADIENTS).must_be(right)
