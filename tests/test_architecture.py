"""The build of the package: which way imports go, how long things are, who may do what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from sources import Source, read_sources

LAYERS = (
    {"errors"},
    {"compute"},
    {"volume"},
    {"io", "mesh", "metrics"},
    {"dataset"},
    {"plan"},
    {"model"},
    {"predict"},
    {"train"},
    {"active"},
    {"report"},
    {"workspace"},
    {"serve"},
    {"cli"},
    {"", "__main__"},  # the package's own two modules, which the others never import
)
RANK = {layer: rank for rank, layers in enumerate(LAYERS) for layer in layers}

TORCH_LAYERS = {layer for layer, rank in RANK.items() if rank >= RANK["model"]}
TORCH_AT_TOP_LAYERS = {"model", "predict", "train"}
TORCH_FREE_MODULES = {
    source.module
    for source in read_sources()
    if re.match(
        r"voxloop\.active\.(pool|query|cut|doubt|cost|spread|strategies|advice)", source.module
    )
}
SLOW_TO_IMPORT = {"SimpleITK", "jinja2", "manifold3d", "matplotlib", "nibabel", "scipy", "vtk",
                  "vtkmodules"}  # fmt: skip
SLOW_IMPORT_ALLOWED: set[str] = set()
"""Modules that may import one of these at their top, since nothing that starts up needs them."""

ENVIRONMENT_READERS: set[str] = set()
"""The one module that may read environment variables."""

PRINTER = "voxloop.cli.render"

SOURCES = read_sources()
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.module)


@each_source
def test_imports_go_one_way_and_never_to_a_sibling(source: Source) -> None:
    assert source.layer in RANK, f"{source.module}: give the layer its place in LAYERS"
    for imported in source.imports:
        package, *rest = imported.module.split(".")
        if package != "voxloop":
            continue
        other = rest[0] if rest else ""
        if other == source.layer or (other == "" and source.layer in {"workspace", "serve", "cli"}):
            continue  # these name the version in what they write
        assert RANK[other] < RANK[source.layer], f"line {imported.line} imports {imported.module}"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {
        source.module: {i.module for i in source.imports if i.module in source.modules}
        for source in SOURCES
    }
    graph = {module: others - {module} for module, others in graph.items()}
    while leaves := {module for module, others in graph.items() if not others}:
        graph = {m: others - leaves for m, others in graph.items() if m not in leaves}
    assert not graph, f"import cycle among {sorted(graph)}"


@each_source
def test_torch_starts_at_the_model(source: Source) -> None:
    for imported in source.imports:
        if imported.module.split(".")[0] not in {"torch", "safetensors"}:
            continue
        assert source.layer in TORCH_LAYERS, f"line {imported.line}: torch left of the model"
        assert source.module not in TORCH_FREE_MODULES, f"line {imported.line}: torch"
        assert not imported.at_top or source.layer in TORCH_AT_TOP_LAYERS, (
            f"line {imported.line}: import torch inside the function that needs it"
        )


def test_what_needs_no_torch_does_not_get_it_through_others() -> None:
    at_top = {s.module: {i.module for i in s.imports if i.at_top} for s in SOURCES}
    for source in SOURCES:
        if source.layer in TORCH_LAYERS and source.module not in TORCH_FREE_MODULES:
            continue
        reached: set[str] = set()
        frontier = {source.module}
        while frontier:
            reached |= frontier
            frontier = set().union(*(at_top.get(m, set()) for m in frontier)) - reached
        assert "torch" not in {module.split(".")[0] for module in reached}, source.module


@each_source
def test_slow_packages_are_imported_where_they_are_needed(source: Source) -> None:
    if source.module in SLOW_IMPORT_ALLOWED:
        return
    slow = [i for i in source.imports if i.at_top and i.module.split(".")[0] in SLOW_TO_IMPORT]
    assert not slow, "import these inside the functions that need them"


@each_source
def test_modules_and_functions_stay_short(source: Source) -> None:
    assert source.text.count("\n") <= 400
    for name, node in source.definitions():
        if isinstance(node, ast.FunctionDef):
            assert _length(node) <= 80, f"{name} has {_length(node)} lines"
            most = 16 if source.layer == "cli" else 8  # a command's parameters are its options
            assert _parameters(node) <= most, f"{name} has {_parameters(node)} parameters"


@each_source
def test_whatever_is_public_says_what_it_is(source: Source) -> None:
    assert ast.get_docstring(source.tree), "the module has no docstring"
    for name, node in source.definitions():
        if not any(part.startswith("_") for part in name.split(".")):
            assert ast.get_docstring(node), f"{name} has no docstring"


@each_source
def test_all_names_exactly_what_is_public_in_order(source: Source) -> None:
    if len(source.tree.body) <= 1 or source.module == "voxloop.__main__":
        return  # nothing but a docstring
    exported = _exported(source.tree)
    assert exported is not None, "the module has no __all__"
    assert exported == sorted(exported, key=_order), "__all__ is not sorted"
    defined = {name for name, _ in source.definitions() if "." not in name and name[0] != "_"}
    assert defined <= set(exported), f"not in __all__: {sorted(defined - set(exported))}"


@each_source
def test_only_one_module_prints(source: Source) -> None:
    if source.module == PRINTER:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "typer.echo", "typer.secho"}, f"line {node.lineno}"
            assert not re.match(r"sys\.(stdout|stderr)\.write", called), f"line {node.lineno}"


@each_source
def test_only_one_module_reads_the_environment(source: Source) -> None:
    if source.module in ENVIRONMENT_READERS:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            named = ast.unparse(node)
            assert named not in {"os.environ", "os.getenv", "os.putenv"}, f"line {node.lineno}"


def test_at_most_one_module_may_read_the_environment() -> None:
    assert len(ENVIRONMENT_READERS) <= 1


def _length(node: ast.FunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _parameters(node: ast.FunctionDef) -> int:
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([argument for argument in named if argument.arg not in {"self", "cls"}])


def _exported(tree: ast.Module) -> list[str] | None:
    for value in _assigned(tree, "__all__"):
        return [str(name) for name in ast.literal_eval(value)]
    return None


def _assigned(tree: ast.Module, name: str) -> Iterator[ast.expr]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            yield node.value


def _order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, as the linter sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name
