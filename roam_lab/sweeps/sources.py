"""The Python files of FILE.py:FACTORY and their digest, which decides whether a row is still valid."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from roam_lab.errors import InputError

ALWAYS = ("roam-lab", "torch")
"""Packages whose versions matter for every row."""


@dataclass(frozen=True, slots=True)
class Sources:
    """`spec`: FILE.py:FACTORY with the whole path. `digest`: of the file, of the modules beside it that it imports, and
    of the versions of the packages that they import. `modules`: names of those modules.

    Other files that the factory reads (data, settings) and modules in other folders are not in it.
    """

    spec: str
    digest: str
    modules: tuple[str, ...]


def sources_of(spec: str) -> Sources:
    """The sources of FILE.py:FACTORY. Raises InputError where the file cannot be read."""
    file, _, name = spec.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give FILE.py:FACTORY with a path that exists")
    folder, packages = path.resolve().parent, set(ALWAYS)
    modules: dict[tuple[str, ...], Path] = {}
    left: list[tuple[tuple[str, ...], Path]] = [((), path)]
    digest = hashlib.sha256()
    while left:
        module, file_of = left.pop()
        try:
            text = file_of.read_bytes()
        except OSError as error:
            raise InputError(f"{file_of}: cannot be read ({error.strerror or error})") from None
        digest.update(repr((module, len(text))).encode() + text)
        package = module if file_of.name == "__init__.py" else module[:-1]
        for imported in sorted(_imports(text, package)):
            beside = [(part, found) for part, found in _beside(folder, imported) if part not in modules]
            modules.update(beside)
            left += beside
            packages.add(imported[0])
    versions = sorted((package, _version(package)) for package in packages - {module[0] for module in modules})
    digest.update(repr(versions).encode())
    return Sources(f"{path.resolve()}:{name}", digest.hexdigest(), tuple(".".join(module) for module in modules))


def _imports(text: bytes, package: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Names that may be imported modules, relative ones made absolute; none for a file that is not Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return set()
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: max(len(package) - node.level + 1, 0)] if node.level else ()
            base = (*above, *(node.module.split(".") if node.module else ()))
            found |= {base, *((*base, alias.name) for alias in node.names)}
    return found - {()}


def _beside(folder: Path, name: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Path]]:
    """The module of that name and the packages that it lies in, where they lie in `folder`."""
    for length in range(1, len(name) + 1):
        part = name[:length]
        bare = folder.joinpath(*part)
        for file in (bare / "__init__.py", bare.with_name(f"{bare.name}.py")):
            if file.is_file():
                yield part, file
                break


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # of the standard library, or its distribution has another name
        return None


@contextmanager
def imported_anew(modules: tuple[str, ...]) -> Iterator[None]:
    """A context in which these modules are imported from their files as they are now; it ends with those of before.

    A worker lives through many sweeps, and a notebook edits its files between them.
    """
    before = {name: sys.modules.pop(name) for name in modules if name in sys.modules}
    try:
        yield
    finally:
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(before)
