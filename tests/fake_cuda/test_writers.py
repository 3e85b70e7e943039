"""Which results are given a place on CUDA."""

import torch

from roam_lab.capture.writers import out_overload, writer_for

aten = torch.ops.aten


def test_no_place_for_a_reserve_of_unknown_size():
    """cuDNN's batch norm: its fake makes the reserve empty, and `out=` would make the real one somewhere else."""
    images, channels = torch.empty(2, 3, 4, 4, device="cuda"), torch.empty(3, device="cuda")
    arguments = (images, channels, channels, channels, channels, True, 0.1, 1e-5)
    result = [images, channels, channels]
    assert out_overload(aten.cudnn_batch_norm.default, "cuda") is not None
    assert writer_for(aten.cudnn_batch_norm.default, arguments, [*result, images.new_empty(0)]) is None
    assert writer_for(aten.cudnn_batch_norm.default, arguments, [*result, images.new_empty(8)]) is not None
