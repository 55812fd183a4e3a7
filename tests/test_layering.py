"""The import law: a module imports only from modules to its left; faithfusion.training only clips, video, utils."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BASE = {"types", "config", "utils"}
ORDER = ["data", "scene", "render", "eig", "clips", "video", "distill", "evaluate", "viewer"]
SOURCES = sorted((ROOT / "faithfusion").rglob("*.py")) + sorted((ROOT / "faithfusion.training").rglob("*.py"))
MAX_LINES = 400
LONG_FILES = {"faithfusion/video/model/wan.py": 600, "faithfusion/video/model/vae.py": 600}


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def allowed(path: Path) -> set[str]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "faithfusion.training":
        return BASE | {"clips", "video"}
    if parts[1] in BASE:
        return BASE
    return BASE | set(ORDER[: ORDER.index(parts[1]) + 1]) if parts[1] in ORDER else BASE


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_left(path: Path) -> None:
    for name in imported_modules(path):
        parts = name.split(".")
        if parts[0] == "faithfusion" and len(parts) > 1 and parts[1] in BASE | set(ORDER):
            assert parts[1] in allowed(path), f"{path} imports {name}"
        assert not (parts[0] == "faithfusion.training" and path.is_relative_to(ROOT / "faithfusion")), (
            f"{path} imports {name}"
        )
        assert parts[0] != "tools", f"{path} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_global_device_and_no_star_import(path: Path) -> None:
    text = path.read_text()
    assert ".cuda()" not in text
    assert " import *" not in text


def test_only_the_engine_imports_deepspeed() -> None:
    users = [path for path in SOURCES if any(name.split(".")[0] == "deepspeed" for name in imported_modules(path))]
    assert [path.relative_to(ROOT).as_posix() for path in users] in ([], ["faithfusion.training/engine.py"])


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_readable(path: Path) -> None:
    limit = LONG_FILES.get(path.relative_to(ROOT).as_posix(), MAX_LINES)
    assert len(path.read_text().splitlines()) <= limit


def test_the_law_catches_an_import_to_the_right() -> None:
    assert "video" not in allowed(ROOT / "faithfusion/eig/posterior.py")
    assert "render" in allowed(ROOT / "faithfusion/eig/posterior.py")
