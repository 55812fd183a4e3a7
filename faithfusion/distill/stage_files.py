"""The regenerated clip of one stage on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from faithfusion.scene.checkpoint import load_tensors, save_tensors
from faithfusion.types import EigVolume, Window
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
    save_tensors(path, tensors | exact, {"name": clip.name})


def load_stage_clip(path: Path) -> StageClip:
    """Inverse of `save_stage_clip`. InputError if the file is missing or damaged."""
    tensors, header = load_tensors(path)
    values = {name: value.float() / 255.0 if name in COLORS else value.float() for name, value in tensors.items()}
    eig = EigVolume(*(values[name] for name in ("eig_nats", "expected_sq_error", "alpha")))
    window = Window(values["render"], eig, values["depth"], values["references"], tensors["known"].to(torch.bool))
    edited = EditedClip(values["frames"], values["edit"], values["gain"]) if "gain" in values else None
    return StageClip(header["name"], window, edited)
