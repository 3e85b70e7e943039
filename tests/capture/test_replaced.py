"""What is replaced for a while is there again afterwards."""

from types import SimpleNamespace

import pytest

from roam_lab.capture.replaced import replaced


def test_put_back_also_after_an_error_and_where_one_name_is_replaced_twice():
    first = lambda: 1  # noqa: E731
    owner = SimpleNamespace(name=first)
    with pytest.raises(KeyError), replaced([(owner, "name", lambda: 2), (owner, "name", lambda: 3)]):
        assert owner.name() == 3
        raise KeyError
    assert owner.name is first
