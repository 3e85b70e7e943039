"""What `make test` leaves out, and where it begins."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")  # no test fails because its machine does other work, too

LONGEST = (
    "tests/coverage/test_coverage.py",
    "tests/runtime/test_changed_by_the_user.py",
    "tests/integrations/test_trainer.py",
    "tests/integrations/test_trainer_state.py",
    "tests/runtime/test_identity.py",
    "tests/test_notebooks.py",
    "tests/runtime/test_after_change.py",
    "tests/runtime/test_damage.py",
    "tests/integrations/test_accelerate.py",
    "tests/runtime/test_rewritten.py",
    "tests/runtime/test_hook.py",
    "tests/lab/test_panel_in_browser.py",
    "tests/app/test_workbench.py",
    "tests/test_cli.py",
)
"""Files that take minutes: they come first, so that no worker is left with one of them at the end."""


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the plans that a user has kept, nor do its child processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROAM_CACHE", str(tmp_path_factory.mktemp("plans")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest files first, unless ROAM_TESTS_AS_GIVEN; tests marked slow are skipped without ROAM_SLOW_TESTS."""
    if not os.environ.get("ROAM_TESTS_AS_GIVEN"):
        rank = {name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
    if not os.environ.get("ROAM_SLOW_TESTS"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes long; make test-slow runs it"))


_modules_seen = 0
MANY_MODULES = 20
"""Imported since the last time, they are worth the half second that a collection takes."""


def pytest_collection_finish() -> None:
    _freeze_what_imports_have_made()


def pytest_runtest_setup() -> None:
    _freeze_what_imports_have_made()


def _freeze_what_imports_have_made() -> None:
    """It stays, and is never looked through again: each capture ends with a collection of all the rest.

    Libraries are imported by the tests as well: torch's compiler alone doubles what a collection goes through.
    """
    global _modules_seen
    if len(sys.modules) >= _modules_seen + MANY_MODULES:
        gc.collect()
        gc.freeze()
        _modules_seen = len(sys.modules)
