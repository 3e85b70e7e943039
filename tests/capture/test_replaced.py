"""What is replaced for a while is there again afterwards."""

from types import SimpleNamespace

import pytest

from roam_lab.capture.replaced import replaced


def one():
    return 1


def test_put_back_where_one_name_is_replaced_twice():
    owner = SimpleNamespace(name=one)
    with replaced([(owner, "name", lambda: 2), (owner, "name", lambda: 3)]):
        assert owner.name() == 3
    assert owner.name is one


def test_put_back_after_an_error():
    owner = SimpleNamespace(name=one)
    with pytest.raises(ZeroDivisionError), replaced([(owner, "name", lambda: 1 / 0)]):
        owner.name()
    assert owner.name is one


def test_what_is_inherited_is_inherited_again():
    class Parent:
        name = one

    class Child(Parent):
        pass

    child = Child()
    with replaced([(child, "name", lambda: 2), (Child, "name", lambda self: 3)]):
        assert (child.name(), Child().name()) == (2, 3)
    assert not vars(child)
    assert "name" not in vars(Child)


def test_what_an_object_has_of_its_own_stays_its_own():
    class Parent:
        name = one

    child = Parent()
    child.name = own = lambda: 2
    with replaced([(child, "name", lambda: 3)]):
        pass
    assert child.name is own
