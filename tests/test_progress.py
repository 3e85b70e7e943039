"""Progress shows on a terminal, late, and nowhere else."""

import io
import time

import pytest

from roam_lab.progress import TerminalProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal(monkeypatch, stream=None):
    """Standard error, replaced; not in a fixture, after which pytest puts its own back."""
    stream = Terminal() if stream is None else stream
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def wait_for(stream, text):
    deadline = time.monotonic() + 10
    while text not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.02)
    return stream.getvalue()


def test_what_takes_long_shows_what_is_done(monkeypatch):
    stream = terminal(monkeypatch)
    with TerminalProgress(delay_seconds=0.01) as progress:
        progress("order: [list]", 0.25)
        assert "order: [list]" in wait_for(stream, "order: [list]")
        progress("layout")
        assert "layout" in wait_for(stream, "layout")


def test_what_is_quick_shows_nothing(monkeypatch):
    stream = terminal(monkeypatch)
    with TerminalProgress(delay_seconds=60) as progress:
        progress("order", 0.5)
    assert stream.getvalue() == ""


def test_what_is_no_terminal_stays_clean(monkeypatch):
    stream = terminal(monkeypatch, io.StringIO())
    with TerminalProgress(delay_seconds=0) as progress:
        progress("order")
        time.sleep(0.05)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("together", [True, False])
def test_results_that_go_to_a_file_go_there_while_the_bar_is_shown(monkeypatch, together):
    results, stream = (Terminal() if together else io.StringIO()), terminal(monkeypatch)
    monkeypatch.setattr("sys.stdout", results)
    with TerminalProgress(delay_seconds=0.01) as progress:
        progress("order", 0.25)
        wait_for(stream, "order")
        print("a result")
    assert ("a result" in results.getvalue()) is not together
    assert ("a result" in stream.getvalue()) is together  # one terminal: above the bar, which stays whole
