"""The package's source files as trees, for the tests that watch over its build."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["ROOT", "Import", "Source", "read_sources"]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Import:
    """One imported module: its full name, the line, and whether importing the file runs it."""

    module: str
    line: int
    at_top: bool


@dataclass(frozen=True)
class Source:
    """One module of the package."""

    module: str
    path: Path
    modules: frozenset[str]

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def layer(self) -> str:
        """The part of the name after `voxloop`; empty for the package's own module."""
        return [*self.module.split("."), ""][1]

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import, those inside functions included, those for type checkers left out."""
        return tuple(self._imports_in(self.tree.body, at_top=True))

    def definitions(self) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
        """Functions, classes and methods with their dotted names, nested functions left out."""
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name, node
            if isinstance(node, ast.ClassDef):
                for member in node.body:
                    if isinstance(member, ast.FunctionDef):
                        yield f"{node.name}.{member.name}", member

    def _imports_in(self, nodes: Iterable[ast.stmt], *, at_top: bool) -> Iterator[Import]:
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno, at_top)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    module = name if name in self.modules else str(node.module)
                    yield Import(module, node.lineno, at_top)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from self._imports_in(node.orelse, at_top=at_top)
            else:
                inside = at_top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                yield from self._imports_in(_statements(node), at_top=inside)


def read_sources() -> tuple[Source, ...]:
    """All modules of the package, by name."""
    package = ROOT / "src" / "voxloop"
    names = {_module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    modules = frozenset(names)
    return tuple(Source(name, path, modules) for name, path in sorted(names.items()))


def _module_name(path: Path, package: Path) -> str:
    parts = [*path.relative_to(package.parent).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Those directly within another one."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            yield from _statements(child)
