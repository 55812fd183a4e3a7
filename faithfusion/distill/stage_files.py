"""The regenerated clip of one stage on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from faithfusion.scene.checkpoint import load_tensors, save_tensors
from faithfusion.types import EigVolume, ViewPoses, Window
from faithfusion.video.editor import EditedClip

COLORS = ("render", "references", "frames", "edit")


@dataclass(frozen=True)
class StageClip:
    """What was rendered on the path called `name`, with its EIG, and what the editor made of it, if it was asked."""

    name: str
    window: Window
    edited: EditedClip | None = None


def save_stage_clip(path: Path, clip: StageClip) -> None:
    """Colours as bytes, EIG and depth as float16, expected error and gain as float32."""
    window, edited = clip.window, clip.edited
    colors = {"render": window.render, "references": window.references}
    fields = {"eig_nats": window.eig.eig_nats, "alpha": window.eig.alpha, "depth": window.depth}
    exact = {"expected_sq_error": window.eig.expected_sq_error, "known": window.known}
    if edited is not None:
        colors |= {"frames": edited.frames, "edit": edited.edit}
        exact |= {"gain": edited.gain}
    tensors: dict[str, Tensor] = {name: (value.clamp(0, 1) * 255.0 + 0.5).byte() for name, value in colors.items()}
    tensors |= {name: value.clamp(0, 6e4).half() for name, value in fields.items()}
    for name, poses in (("poses", window.poses), ("reference_poses", window.reference_poses)):
        if poses is not None:
            exact |= {f"{name}.intrinsics": poses.intrinsics, f"{name}.world_from_camera": poses.world_from_camera}
    save_tensors(path, tensors | exact, {"name": clip.name})


def load_stage_clip(path: Path) -> StageClip:
    """Inverse of `save_stage_clip`. InputError if the file is missing or damaged."""
    tensors, header = load_tensors(path)
    values = {name: value.float() / 255.0 if name in COLORS else value.float() for name, value in tensors.items()}
    eig = EigVolume(*(values[name] for name in ("eig_nats", "expected_sq_error", "alpha")))
    window = Window(
        render=values["render"],
        eig=eig,
        depth=values["depth"],
        references=values["references"],
        known=tensors["known"].to(torch.bool),
        poses=_poses(values, "poses"),
        reference_poses=_poses(values, "reference_poses"),
    )
    edited = EditedClip(values["frames"], values["edit"], values["gain"]) if "gain" in values else None
    return StageClip(header["name"], window, edited)


def _poses(values: Mapping[str, Tensor], name: str) -> ViewPoses | None:
    if f"{name}.intrinsics" not in values:
        return None
    return ViewPoses(values[f"{name}.intrinsics"], values[f"{name}.world_from_camera"])
