"""What the documents name exists: links, headings, files, make targets, commands with options, names in the code."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from roam_lab.app.arguments import ACTIONS, parser_of

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))]
)
GENERATED = {"strategies.md", "coverage.md", "cuda.md", "planning.md", "budget.md", "fusing.md", "support.md"}
"""Of these only the links are looked at: programs write them."""
WRITTEN = [page for page in PAGES if page.name not in GENERATED]
ELSEWHERE = {
    "PIP_EXTRA_INDEX_URL", "load_state_dict", "state_dict", "clip_grad_norm_", "get_total_norm", "zero_grad",
    "all_reduce_", "make_fx", "torch_geometric", "no_sync", "fully_shard", "static_graph", "find_unused_parameters",
    "broadcast_buffers", "gradient_as_bucket_view", "mixed_precision", "batched_grad_copy", "join", "deepcopy",
    "isinstance", "train_step",
}  # fmt: skip
"""Names of torch, of Python and of the user's own code."""
TO_BE = {".roam.json", ".frontier.json", "train.py", "table.jsonl", "changelog.d/NAME.TYPE.md"} | {
    f"report/{folder}/by_phase.py" for folder in ("views", "pictures", "figures")
}
"""Endings, and files that a reader writes."""


def code(text):
    """What stands between single backticks, outside of blocks."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def slug(heading):
    """The anchor of a heading, as code hosts and MyST make it."""
    plain = re.sub(r"[^\w\- ]", "", re.sub(r"`|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower())
    return plain.replace(" ", "-")


def anchors(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def dead_links(page, text):
    """Relative links of a page that lead to nothing."""
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            yield target


@cache
def files():
    """Every file and folder of the repository, by its path from the root."""
    skipped = {".git", "node_modules", "__pycache__", "build", "dist"}
    found = set()
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if not skipped & set(parts) and not parts[0].startswith(".venv"):
            found.add("/".join(parts))
    return found


@cache
def words_of_the_code():
    sources = [name for name in files() if re.search(r"\.(py|ts|toml|cff)$", name) or name == "Makefile"]
    return set(
        re.findall(
            r"\w+", " ".join((ROOT / name).read_text() for name in sources if name != "tests/test_docs_links.py")
        )
    )


def missing_files(text):
    """Paths in backticks that are no file, folder or ending of a path of the repository."""
    for quoted in code(text):
        if re.fullmatch(r"[\w./*-]+(\.(py|md|ts|js|json|jsonl|svg|toml|yml|cff)|/)", quoted) and not quoted.startswith(
            "/"
        ):
            name = quoted.rstrip("/")
            if quoted in TO_BE or "*" in name or name.startswith(("build", "dist", "my_package")):
                continue
            if not any(path == name or path.endswith(f"/{name}") for path in files()):
                yield quoted


def unknown_commands(text):
    """Lines `roam ACTION ...` whose action or options there are not; `make TARGET` without such a target."""
    _, parsers = parser_of("command")
    options = {
        name: {option for one in parser._actions for option in one.option_strings} for name, parser in parsers.items()
    }
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [*code(text), *re.findall(r"^(?:\$ | {4})((?:roam|make) .*)$", text, re.MULTILINE)]
    for line in lines:
        message = line.partition(" # ")[0].strip()
        if message.startswith("make ") and not re.search(r"[.…]", message):
            words = re.sub(r"=\"[^\"]*\"", "=", message).split()[1:]
            yield from (message for word in words if "=" not in word and word not in targets and word.islower())
        if not re.match(r"roam [a-z]", message):
            continue
        names = re.findall(r"[a-z]+", message.removeprefix("roam ")) if " | " in message else [message.split()[1]]
        for name in names:
            if name not in parsers:
                yield message
        if len(names) == 1 and names[0] in options:
            yield from (message for one in re.findall(r"(?<![\w-])--[a-z-]+", message) if one not in options[names[0]])


def unknown_names(text):
    """Names in backticks, with an underscore or a call, that stand nowhere in the code."""
    for quoted in code(text):
        if re.search(r"\.(py|md|ts|js|svg|json|jsonl)\b|/|\s|^-|[<>$\"']", quoted.partition("(")[0]):
            continue
        name = quoted.partition("(")[0].split(".")[-1].strip("=")
        if ("_" in name or "(" in quoted) and name.isidentifier() and name not in ELSEWHERE | words_of_the_code():
            yield quoted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert list(dead_links(page, page.read_text())) == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_named_exists(page):
    text = page.read_text()
    assert list(missing_files(text)) == []
    assert list(unknown_commands(text)) == []
    assert list(unknown_names(text)) == []


def test_what_does_not_exist_is_found():
    page = ROOT / "docs" / "index.md"
    text = (
        "[a](nowhere.md) [b](limits.md#no-such-heading) [c](limits.md#steps) `ir/graph.py` `ir/grpah.py` `report/vews/`"
    )
    assert list(dead_links(page, text)) == ["nowhere.md", "limits.md#no-such-heading"]
    assert list(missing_files(text)) == ["ir/grpah.py", "report/vews/"]
    commands = "`make test` `make tset` `roam plan G --budget 1` `roam plam G` `roam plan G --budgte 1`\n"
    commands += "    roam fit F --memroy 1\n"
    assert list(unknown_commands(commands)) == [
        "make tset", "roam plam G", "roam plan G --budgte 1", "roam fit F --memroy 1",
    ]  # fmt: skip
    assert list(unknown_names("`live_peak(graph)` `live_paek(graph)` `Storage.bytes` `no_such_name_at_all`")) == [
        "live_paek(graph)", "no_such_name_at_all",
    ]  # fmt: skip


def test_every_action_is_documented():
    message = (ROOT / "docs" / "formats.md").read_text().partition("## Commands")[2]
    for action in ACTIONS:
        if "command" in action.faces:
            assert re.search(rf"\b{action.name}\b", message), action.name


def test_a_noun_has_one_meaning():
    page = (ROOT / "docs" / "glossary.md").read_text().partition("## Words with two meanings")[0]
    nouns = [
        name.strip()
        for row in re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]*\|$", page, re.MULTILINE)
        for name in row.split(",")
    ]
    nouns = [noun for noun in nouns if noun not in ("noun", "---")]
    assert len(nouns) > 50
    assert sorted(nouns) == sorted(set(nouns))


def test_every_page_is_on_the_first():
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "index.md").read_text()))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= linked | {"index.md"}
    decisions = ROOT / "docs" / "decisions"
    assert {page.name for page in decisions.glob("0*.md")} == set(
        re.findall(r"\]\((0[\w-]+\.md)\)", (decisions / "index.md").read_text())
    )


def test_commands_in_the_documents_are_words_of_a_shell():
    lines = re.findall(r"^    (roam .*)$", (ROOT / "docs" / "sweeps.md").read_text(), re.MULTILINE)
    assert lines
    for line in lines:
        assert shlex.split(line, comments=True)[0] == "roam"


OF_OTHERS = {
    "as_subclass", "develop", "fully_shard", "grid_sample", "load_state_dict", "output_notebook", "parallel_config",
    "replay_prologue", "sigmoid", "total_steps", "transpose_", "unsqueeze_", "use_mem_pool",
}  # fmt: skip
"""Names of other libraries in docstrings."""


def split(source):
    """The docstrings of a module, and its other text."""
    found, lines = [], source.splitlines()

    def look(node):
        for one in getattr(node, "body", ()):
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str):
                found.append(one.value.value)
                lines[one.lineno - 1 : one.end_lineno] = [""] * (one.end_lineno - one.lineno + 1)
            elif isinstance(one, ast.ClassDef | ast.FunctionDef):
                look(one)

    look(ast.parse(source))
    return found, "\n".join(lines)


def outdated(text, known):
    """Files that a docstring names and there are not, and names in backticks that no code has."""
    for quoted in re.findall(r"[\w/]*[a-z_/]\.(?:py|js|ts|md)\b", text):
        if not any(path == quoted or path.endswith(f"/{quoted}") for path in files()):
            yield quoted
    for quoted in code(text):
        name = re.split(r"[(\[]", quoted)[0].split(".")[-1]
        if name.isidentifier() and " " not in quoted and name not in known:
            yield quoted


def test_docstrings_name_what_exists():
    sources = sorted((ROOT / "roam_lab").rglob("*.py"))
    modules = {str(path.relative_to(ROOT)): split(path.read_text()) for path in sources}
    known = {*re.findall(r"\w+", " ".join(rest for _, rest in modules.values())), *OF_OTHERS}
    wrong = [
        (name, quoted) for name, (texts, _) in modules.items() for text in texts for quoted in outdated(text, known)
    ]
    assert wrong == []
    assert list(outdated("See `no_such_name` in ir/nowhere.py and `graph.ops`, `Graph`.", known)) == [
        "ir/nowhere.py", "no_such_name",
    ]  # fmt: skip
