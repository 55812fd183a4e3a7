"""The law of imports: which room may import from which, and no circle of modules that import each other."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A room imports from itself and from the lines above its own. A part of a room is written room.part.
ORDER = """
types utils
config
data
street scene
render
eig fit
clips
video.model
video.editing
video.weights
video.fixer
video.plan video
window
distill
pipeline
pairs
evaluate
check viewer
training
cli
""".strip().splitlines()
HEIGHT = {room: height for height, rooms in enumerate(ORDER) for room in rooms.split()}
TRAINING_KNOWS = {"types", "utils", "config", "clips", "video", "training"}
MAX_LINES = 400
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("faithfusion", "train_video", "tools")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imported_modules(path: Path, *, while_loading: bool = False) -> set[str]:
    """The modules of this repository that a file imports anywhere, or only while it is loaded itself."""
    names, nodes = set(), [ast.parse(path.read_text())]
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            names.update(name if name in SOURCES else node.module for name in members)
        if not (while_loading and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            nodes.extend(ast.iter_child_nodes(node))
    return names & SOURCES.keys()


def room_of(module: str) -> str:
    """The entry of ORDER that a module of the package belongs to; "" of the package itself."""
    parts = module.split(".")[1:]
    return next((room for room in (".".join(parts[:2]), *parts[:1]) if room in HEIGHT), "")


def is_allowed(importer: str, imported: str) -> bool:
    if not importer.startswith("faithfusion."):
        return True
    below, above = room_of(imported), room_of(importer)
    if above == "training":
        return below.split(".")[0] in TRAINING_KNOWS
    return below == above or HEIGHT.get(below, len(ORDER)) < HEIGHT[above]


def test_rooms_import_only_from_those_before_them() -> None:
    assert {room_of(module) for module in SOURCES if module.startswith("faithfusion.")} == set(HEIGHT)
    found = [(module, name) for module, path in SOURCES.items() for name in imported_modules(path)]
    assert len(found) > 1000
    assert [pair for pair in found if not is_allowed(*pair)] == []


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("faithfusion.eig.posterior", "faithfusion.video.model.wan"),
        ("faithfusion.eig.posterior", "faithfusion.fit.fit"),
        ("faithfusion.video.model.wan", "faithfusion.video.fixer.build"),
        ("faithfusion.training.loop", "faithfusion.eig.posterior"),
        ("faithfusion.utils.files", "faithfusion.config"),
        ("faithfusion.utils.files", "tools.refine_sequence"),
    ],
)
def test_the_law_knows_what_is_forbidden(importer: str, imported: str) -> None:
    assert not is_allowed(importer, imported)


def test_no_circle_of_modules() -> None:
    graph = {module: imported_modules(path, while_loading=True) - {module} for module, path in SOURCES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_files_stay_readable_and_choose_no_device() -> None:
    for path in SOURCES.values():
        text = path.read_text()
        assert text.count("\n") <= MAX_LINES, path
        assert ".cuda()" not in text, path
