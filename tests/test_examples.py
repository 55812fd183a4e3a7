"""The examples run as they stand: the program as a user starts it, the notebook cell by cell."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from faithfusion.data.camera_files import write_cameras_json
from faithfusion.data.posed_camera import PosedCamera
from faithfusion.scene.ply import export_ply
from faithfusion.types import Camera
from faithfusion.utils.errors import InputError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PROGRAM = EXAMPLES / "eig_for_any_3dgs.py"


def nats_of(printed: str, group: str) -> list[float]:
    return [float(line.split(":")[1].split()[0]) for line in printed.splitlines() if line.startswith(group)]


def test_the_program_knows_what_it_has_seen(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), "--out", str(tmp_path / "eig.png")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    seen, new = nats_of(result.stdout, "seen camera"), nats_of(result.stdout, "new camera")
    assert len(seen) == len(new) == 6
    assert max(seen) < 0.6 * min(new)
    assert result.stdout.count("record next") == 2
    assert Image.open(tmp_path / "eig.png").size == (4 * 160, 2 * 120)


def posed(camera: Camera, name: str) -> PosedCamera:
    K = camera.intrinsics.double().numpy()
    pinhole = (K[0, 0], K[1, 1], K[0, 2], K[1, 2], 0.0, 0.0, 0.0, 0.0, 0.0)
    pose = camera.world_from_camera.double().numpy()
    return PosedCamera(name, camera.width, camera.height, pinhole, pose)


def test_the_program_takes_files_of_other_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(PROGRAM))
    example["main"](["--out", str(tmp_path / "made.png")])
    made = capsys.readouterr().out
    export_ply(tmp_path / "scene.ply", example["made_scene"]().gaussians)
    cameras = [posed(camera, f"{index:02d}.png") for index, camera in enumerate(example["orbit"](12))]
    write_cameras_json(tmp_path / "cameras.json", cameras)
    files = ["--gaussians", str(tmp_path / "scene.ply"), "--cameras", str(tmp_path / "cameras.json")]
    example["main"]([*files, "--out", str(tmp_path / "read.png")])
    read = capsys.readouterr().out
    assert nats_of(read, "new camera") == pytest.approx(nats_of(made, "new camera"), abs=0.011)
    images = [np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("made.png", "read.png")]
    assert np.abs(images[0] - images[1]).mean() < 1.0
    with pytest.raises(InputError, match="no such file"):
        example["main"](["--gaussians", str(tmp_path / "nothing.ply"), "--cameras", files[-1]])


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    nbformat = pytest.importorskip("nbformat")
    path = EXAMPLES / "eig_for_any_3dgs.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in json.loads(path.read_text())["cells"])
    monkeypatch.syspath_prepend(str(EXAMPLES))
    plt.switch_backend("agg")
    names: dict[str, object] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{path.name}, {cell.id}", "exec"), names)
    plt.close("all")
    printed = capsys.readouterr().out
    assert "never seen from here" in printed
    assert printed.count("nats alone") == 3
