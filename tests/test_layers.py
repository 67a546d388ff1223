"""The rooms of the package lie in layers: a module imports its own room and lower ones, and no two modules each other.

Imports for types alone and those inside functions count as well.
"""

import ast
from collections.abc import Iterator

from tests.support.paths import ROOT

LAYERS = (
    {"_utils"},
    {"metrics", "nn", "data"},
    {"tasks"},
    {"training", "profile"},
    {"models"},
    {"analysis"},
    {"experiments"},
    {"report"},
    {"cli"},
)
WITHIN = {  # from the lowest to the highest, for rooms that have layers inside
    "nn": (
        *("layer_call", "graph", "init", "conv", "receptive_field", "scan", "recurrent"),
        *("convert", "export_axes", "export"),
    ),
    "experiments": ("runs", "grid", "results", "run_plan", "trained", "compare"),
    "report": (
        *("footnotes", "answer", "plots", "tables", "forecast_table"),
        *("gradients", "forecasts", "benchmark", "html"),
    ),
}
AT_THE_TOP = {"__init__.py", "__main__.py", "py.typed"}


def modules() -> dict[str, ast.Module]:
    paths = {path: path.relative_to(ROOT).with_suffix("").parts for path in (ROOT / "seqgnn").rglob("*.py")}
    return {
        ".".join(parts[:-1] if parts[-1] == "__init__" else parts): ast.parse(path.read_text(encoding="utf-8"))
        for path, parts in paths.items()
    }


def imports(trees: dict[str, ast.Module]) -> Iterator[tuple[str, str]]:
    """Yields each module of the package with one that it imports."""
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((module, name.name) for name in node.names if name.name in trees)
            elif isinstance(node, ast.ImportFrom) and node.module in trees:
                for name in node.names:
                    submodule = f"{node.module}.{name.name}"
                    yield module, submodule if submodule in trees else node.module


def test_layers_import_nothing_from_above():
    height = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
    wrong = []
    for importer, imported in sorted(set(imports(modules()))):
        above, below = importer.split(".")[1:], imported.split(".")[1:]
        if not above or not below or above[0] == "__main__":  # the package itself, which holds its version alone
            continue
        if above[0] != below[0]:
            wrong += [(importer, imported)] * (height[below[0]] >= height[above[0]])
        elif above[0] in WITHIN and above[1:] and below[1:] and above[1] != below[1]:
            order = WITHIN[above[0]]
            wrong += [(importer, imported)] * (order.index(below[1]) > order.index(above[1]))
    assert not wrong, "\n".join(f"{importer} imports {imported}" for importer, imported in wrong)


def test_layers_have_no_circular_imports():
    trees = modules()
    needs: dict[str, set[str]] = {module: set() for module in trees}
    for importer, imported in imports(trees):
        if not imported.startswith(importer + "."):  # what a package re-exports
            needs[importer].add(imported)
    while free := {module for module, others in needs.items() if not others & needs.keys()}:
        needs = {module: others for module, others in needs.items() if module not in free}
    assert not needs, f"in or above a circle: {sorted(needs)}"


def test_seqgnn_top_level_contains_only_packages():
    names = {path.name for path in (ROOT / "seqgnn").iterdir() if path.is_file() or any(path.glob("*.py"))}
    assert names == set().union(*LAYERS) | AT_THE_TOP


def test_packages_have_a_docstring_and_public_names():
    trees = modules()
    for room in sorted(set().union(*LAYERS)):
        tree = trees[f"seqgnn.{room}"]
        assert ast.get_docstring(tree), room  # a few lines on what belongs there
        assert "__all__" in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}, room
