from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from run_command import run_command
from tiny_clip import write_tiny_clip
from tiny_run import STREET

from faithfusion.cli import bench_real
from faithfusion.street.writer import make_street

SMALL = """
editor_frames: 5
refine:
  editors: [{kind: fixer}]
  fit: {steps: 12, half_resolution_steps: 4, initialise: {max_gaussians: 1500}}
  distill: {schedule: {target_shift_m: 1.0, steps_per_stage: 4}}
"""


def test_every_stage_of_both_directions_gets_its_figures(tmp_path: Path) -> None:
    make_street(dataclasses.replace(STREET, num_frames=9), tmp_path / "drive")
    (tmp_path / "small.yaml").write_text(SMALL)
    argv = ["--config", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "out")]
    argv += ["--drives", json.dumps([{"scene": str(tmp_path / "drive")}])]
    first = run_command(bench_real.main, *argv, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    found = json.loads((tmp_path / "out" / "ladder.json").read_text())
    assert [(one["fitted"], one["truth"]) for one in found] == [("0", "1"), ("1", "0")]
    for one in found:
        rungs = one["rungs"]
        for stage in ("fit", "settled", "refined"):
            assert rungs[stage]["training"]["psnr_db"] > 5.0 and "psnr_db road" in rungs[stage]["true camera"]
        assert rungs["fit"]["held-out"].keys() >= {"flow_px", "exposure", "exposure_db"}
        assert len(rungs["eig"]["predicted_rms"]) == 10
        assert rungs["editor"]["frames"] == 5 and rungs["editor"]["kept_is_render"]
        assert rungs["editor"]["kept_share"] >= 0.1
    page = (tmp_path / "out" / "README.md").read_text()
    assert "| stage | figure | drive, 0 to 1 | drive, 1 to 0 |" in page and "| editor | true camera, edited" in page
    again = run_command(bench_real.main, *argv, cwd=tmp_path)
    assert again.stderr.count("ladder: done before, resumed") == 2


@pytest.mark.parametrize(
    ("cameras", "message"),
    [(("0",), "a second camera"), ((), "no such folder|expected")],
    ids=["one camera", "nowhere"],
)
def test_a_drive_that_cannot_be_a_ladder_is_refused(tmp_path: Path, cameras: tuple[str, ...], message: str) -> None:
    if cameras:
        write_tiny_clip(tmp_path / "drive", camera_names=cameras, optional=False)
    drives = json.dumps([{"scene": str(tmp_path / "drive")}])
    result = run_command(bench_real.main, "--drives", drives, "--out", str(tmp_path / "out"), cwd=tmp_path)
    assert result.returncode == 2 and "\n" not in result.stderr.strip()
    assert any(part in result.stderr for part in message.split("|"))
