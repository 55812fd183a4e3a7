"""A benchmark of two streets and a recorded drive of two cameras, with networks of random weights, small enough for
tests."""

from __future__ import annotations

from pathlib import Path

import own_editors
import torch
import yaml
from tiny_clip import write_tiny_clip

from faithfusion.evaluate.driving.twinlitenet import TwinLiteNet

SHADE = f"{own_editors.__file__}:Shade"
WAITS = f"{own_editors.__file__}:Waits"
STREET = {
    "num_frames": 5,
    "width": 64,
    "height": 48,
    "samples_per_pixel": 1,
    "lidar_beams": 16,
    "lidar_columns": 120,
    "camera_names": ["0", "1"],
    "num_moving_cars": 1,
    "num_workers": 1,
}
REFINE = {
    "street": STREET,
    "fit": {"steps": 6, "half_resolution_steps": 2, "initialise": {"max_gaussians": 800, "sky_height": 16}},
    "editors": [{"kind": SHADE, "factor": 0.9}],
    "settle_steps": 1,
    "distill": {"schedule": {"steps_per_stage": 3}},
}


def write_benchmark(folder: Path, **changes: object) -> list[str]:
    """Writes configuration, list of drives and a drive into `folder`; returns the options of the command."""
    write_tiny_clip(folder / "recorded", num_frames=5, width=64, height=48)
    drives = [
        {"name": "one street", "street": {"seed": 1}},
        {"street": {"seed": 2}},
        {"scene": str(folder / "recorded"), "cameras": ["0"]},
    ]
    (folder / "drives.yaml").write_text(yaml.safe_dump(drives))
    config = {
        "drives": str(folder / "drives.yaml"),
        "shifts_m": [1.0],
        "out": str(folder / "out"),
        "others": {"dark": {"editors": [{"kind": SHADE, "factor": 0.1}], "weight": "uniform"}},
        "refine": REFINE,
    } | changes
    (folder / "benchmark.yaml").write_text(yaml.safe_dump(config))
    return ["--config", str(folder / "benchmark.yaml")]


def write_lane_net(path: Path) -> Path:
    """The weights of a TwinLiteNet that has learned nothing."""
    torch.manual_seed(0)
    torch.save(TwinLiteNet().state_dict(), path)
    return path


def write_detector(path: Path) -> Path:
    """The weights of one of torchvision's detectors that has learned nothing."""
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    torch.manual_seed(0)
    torch.save(ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).state_dict(), path)
    return path
