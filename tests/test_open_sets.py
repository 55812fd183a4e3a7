"""A new editor, a new weight and a new metric are one file each; report and ablation show them without another edit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faithfusion.cli import ablation, refine_sequence
from faithfusion.evaluate.metrics.registry import METRICS
from faithfusion.utils.import_path import imported

EDITOR = '''
from dataclasses import dataclass

import torch

from faithfusion.types import Window
from faithfusion.video.editing.editor import EditedClip


@dataclass(frozen=True)
class Greyer:
    """Takes the colour out where the render is not known."""

    share: float = 1.0

    def edit(self, window: Window) -> EditedClip:
        grey = window.render.mean(-1, keepdim=True).expand_as(window.render)
        edit = torch.lerp(window.render, grey, self.share)
        gain = (window.eig.expected_sq_error > 1e-4).float()
        return EditedClip(torch.lerp(window.render, edit, gain[..., None]), edit, gain, window.eig.expected_sq_error)
'''
WEIGHT = """
def half_of_the_gain(window, edited, context):
    return 0.5 * edited.gain
"""
METRIC = """
from faithfusion.evaluate.metrics.metric import Metric

COLOURFULNESS = Metric(
    of=lambda clip: float((clip.video.amax(-1) - clip.video.amin(-1)).mean()),
    needs=(),
    label="Colourfulness",
    decimals=4,
)
"""
STREET = """{num_frames: 5, width: 64, height: 48, samples_per_pixel: 1, lidar_beams: 16, lidar_columns: 120,
    camera_names: ["0"], num_moving_cars: 1, num_workers: 1}"""
FIT = "{steps: 8, half_resolution_steps: 4, initialise: {max_gaussians: 1000, sky_height: 16}}"
SPLIT = "{held_out_every: 4, stretch_frames: 1}"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three files; the metric is listed among the others."""
    for name, text in (("editor", EDITOR), ("weight", WEIGHT), ("metric", METRIC)):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setitem(METRICS, "colourfulness", imported(f"{tmp_path}/metric.py:COLOURFULNESS", "test", "a metric"))
    return tmp_path


def test_the_report_of_a_run_shows_them(own: Path) -> None:
    (own / "run.yaml").write_text(f"""
out: {own}/run
street: {STREET}
fit: {FIT}
settle_steps: 2
editors: [{{kind: "{own}/editor.py:Greyer", share: 0.5}}]
distill: {{weight: "{own}/weight.py:half_of_the_gain", schedule: {{target_shift_m: 1.0, steps_per_stage: 4}}}}
""")
    refine_sequence.main(["--config", str(own / "run.yaml")])
    metrics = json.loads((own / "run" / "metrics.json").read_text())["metrics"]
    before, edit = (metrics[f"at +1.00 m: {clip}"]["colourfulness"] for clip in ("before", "edit"))
    assert 0.0 < edit < before
    page = (own / "run" / "report.html").read_text()
    assert "Colourfulness" in page and "Greyer" in page and "half_of_the_gain" in page


def test_the_ablation_shows_them(own: Path, capsys: pytest.CaptureFixture) -> None:
    (own / "ablation.yaml").write_text(f"""
out: {own}/ablation
seeds: [3]
shifts_m: [1]
weights: [uniform, "{own}/weight.py:half_of_the_gain"]
editors: {{mine: [{{kind: "{own}/editor.py:Greyer", share: 0.5}}]}}
refine:
  street: {STREET}
  fit: {FIT}
  settle_steps: 2
  distill: {{schedule: {{steps_per_stage: 4}}}}
""")
    ablation.main(["--config", str(own / "ablation.yaml")])
    page = (own / "ablation" / "ablation.md").read_text()
    assert "| half of the gain | mine |" in page and "| uniform | mine |" in page
    assert "Colourfulness" in page
    rows = json.loads((own / "ablation" / "street_0003.json").read_text())["rows"]
    none, mine = (rows[key]["video"]["+1.00"]["colourfulness"] for key in ("none", "uniform/mine"))
    assert 0.0 < mine < none
