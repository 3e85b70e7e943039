"""A tensor of the log, in words."""

from roam_lab.ir.op_log import LoggedTensor


def test_a_tensor_in_words() -> None:
    assert LoggedTensor((2, 3), (3, 1), "float32", "cpu", 0, 24, 0).text() == "float32[2, 3]"
    assert LoggedTensor((), (), "int64", "cpu", 0, 8, 0).text() == "int64[]"
