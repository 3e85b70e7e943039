"""A tensor of the log, in words, and what an op of it is unless more is known."""

from roam_lab.ir.op_log import LoggedOp, LoggedTensor


def test_a_tensor_in_words() -> None:
    assert LoggedTensor((2, 3), (3, 1), "float32", "cpu", 0, 24, 0).text() == "float32[2, 3]"
    assert LoggedTensor((), (), "int64", "cpu", 0, 8, 0).text() == "int64[]"


def test_an_op_has_no_answer_and_no_line_and_is_no_sum_in_place() -> None:
    op = LoggedOp("aten.mm.default", (), (), ())
    assert (op.answer, op.accumulated, op.source) == (None, False, None)
