"""Where everything stands: which room may import which, and none in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import onmt_lattice

ROOT = Path(onmt_lattice.__file__).parent
RINGS = [  # each imports only from those before it and from itself
    ("foundation", ("",)),
    ("library", ("lattices", "codes", "bottlenecks", "bitstream")),
    ("plugin", ("opennmt", "evaluation")),
    ("experiments", ("experiments",)),
    ("commands", ("cli",)),
]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in ROOT.rglob("*.py")}


def imports_of(path: Path, everywhere: bool) -> set[str]:
    """Return the modules that a file imports: ``everywhere`` in it, or as it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in inner if name in MODULES} or {node.module}
    return found


def room_of(module: str) -> str:
    """Return the first part of a module's name in the package, empty for the foundation."""
    parts = module.split(".")
    if parts[1:] == ["__main__"]:
        return "cli"
    package = len(parts) > 2 or (len(parts) == 2 and MODULES[module].name == "__init__.py")
    return parts[1] if package or parts[1:] == ["codes"] else ""


def ring_of(module: str) -> int:
    room = room_of(module)
    return next(i for i, (_, rooms) in enumerate(RINGS) if room in rooms)


def test_no_import_goes_upwards() -> None:
    wrong = []
    for name, path in MODULES.items():
        lazily = name == "onmt_lattice"  # the door to all of it
        for used in imports_of(path, everywhere=not lazily) & MODULES.keys():
            upwards = ring_of(used) > ring_of(name)
            if upwards or (ring_of(used) == ring_of(name) == 1 and later(used, name)):
                wrong.append(f"{name} imports {used}")
    assert wrong == []


def later(used: str, name: str) -> bool:
    """Whether ``used`` belongs to a later package of the library than ``name`` does."""
    order = RINGS[1][1]
    return order.index(room_of(used)) > order.index(room_of(name))


def test_only_the_plugin_imports_opennmt() -> None:
    users = {name for name, path in MODULES.items() if roots(imports_of(path, True)) & {"onmt"}}
    assert {room_of(name) for name in users} == {"opennmt"}


def roots(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        name: imports_of(path, everywhere=False) & MODULES.keys() for name, path in MODULES.items()
    }
    list(TopologicalSorter(graph).static_order())


def test_no_rooms_of_the_plugin_import_each_other_in_a_circle() -> None:
    rooms: dict[str, set[str]] = defaultdict(set)
    for name, path in MODULES.items():
        if name.startswith("onmt_lattice.opennmt."):
            for used in imports_of(path, everywhere=False) & MODULES.keys():
                if used.startswith("onmt_lattice.opennmt.") and inner(used) != inner(name):
                    rooms[inner(name)].add(inner(used))
    list(TopologicalSorter(rooms).static_order())


def inner(module: str) -> str:
    return module.split(".")[2]


STOCK = """
import importlib, pkgutil, sys
import onmt.bin.train, onmt.encoders, onmt.inputters.inputter, onmt.model_builder, onmt.utils
def names():
    return {(m, key): value for m in modules for key, value in vars(sys.modules[m]).items()}
modules = [name for name in sys.modules if name.split(".")[0] == "onmt"]
before = names()
import onmt_lattice.opennmt as package
for module in pkgutil.walk_packages(package.__path__, "onmt_lattice.opennmt."):
    importlib.import_module(module.name)
print([key for key, value in names().items() if value is not before.get(key, value)])
"""


def test_importing_the_package_replaces_nothing_of_opennmt() -> None:
    done = subprocess.run([sys.executable, "-c", STOCK], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
