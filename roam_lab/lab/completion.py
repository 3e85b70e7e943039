"""Tab completion of `%roam`: actions, options, strategies, names of results, and the user's variables."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from roam_lab.app.arguments import parser_of
from roam_lab.app.parser import Parser
from roam_lab.registry import strategies

if TYPE_CHECKING:
    from roam_lab.app.workbench import Workbench

Matcher = Callable[[CompletionContext], SimpleMatcherResult]


def matcher_of(bench: Workbench, names: dict[str, Any]) -> Matcher:
    """A matcher for IPython's completer that answers for lines with `%roam` only; `names`: the user's variables."""

    @context_matcher()  # type: ignore[untyped-decorator]
    def roam_matcher(context: CompletionContext) -> SimpleMatcherResult:
        line = context.line_with_cursor[: context.cursor_position]
        before, magic, rest = line.rpartition("%roam")
        if not magic or (rest and not rest[0].isspace()) or before.strip().rstrip("%")[-1:] not in ("", "="):
            return SimpleMatcherResult(completions=[])
        typed = rest.split()[-1] if rest and not rest[-1].isspace() else ""
        found = candidates(rest, bench, names)
        completions = [SimpleCompletion(text=text, type="roam") for text in found if text.startswith(typed)]
        return SimpleMatcherResult(completions=completions, suppress=bool(completions))

    matcher: Matcher = roam_matcher
    return matcher


def candidates(rest: str, bench: Workbench, names: dict[str, Any]) -> list[str]:
    """All that may stand where the text after `%roam` ends, sorted."""
    words = rest.split()
    finished = words if not rest or rest[-1].isspace() else words[:-1]
    _, parsers = parser_of("magic")
    if not finished:
        return sorted(parsers)
    if finished[0] not in parsers:
        return []
    if finished[0] == "help":
        return sorted(parsers)
    options = _options(parsers[finished[0]])
    last = options.get(finished[-1])
    if last is not None and last.nargs != 0:
        return sorted(_values(last, bench, names))
    return sorted({*options, *_results(finished[0], bench), *_variables(names)})


def _options(parser: Parser) -> dict[str, argparse.Action]:
    return {text: action for action in parser._actions for text in action.option_strings if text.startswith("--")}


def _values(option: argparse.Action, bench: Workbench, names: dict[str, Any]) -> Iterable[str]:
    if option.dest in ("order", "layout", "rewrite"):
        return [strategy.name for strategy in strategies(option.dest)]  # type: ignore[arg-type]
    if option.choices is not None:
        return map(str, option.choices)
    if option.dest == "plan":
        return [row.name for row in bench.what_ifs]
    return _variables(names)


def _results(action: str, bench: Workbench) -> list[str]:
    if action in ("plan", "lab", "fit", "frontier", "whatif"):
        return list(bench.profiles)
    return [row.name for row in bench.what_ifs] if action != "profile" else []


def _variables(names: dict[str, Any]) -> list[str]:
    return [name for name in names if not name.startswith("_") and name not in ("In", "Out", "exit", "quit", "open")]
