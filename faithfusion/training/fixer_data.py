"""Draws, crops and mirrors frames, or short clips, for the fixer or a head from windows that were decoded once.

A frame of a shard takes 40 ms per mp4 file to read, because decoding starts at a key frame; from decoded windows, kept
in a folder (12 + 4 n + 3 r bytes per pixel and frame with n views and r references), a crop takes 1 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from faithfusion.training.cache import cache_windows
from faithfusion.training.data import FixerBatch, Pick, WindowRef
from faithfusion.training.topology import Topology
from faithfusion.types import ViewPoses, Window
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.chain import edited_window
from faithfusion.video.editing.editor import Editor
from faithfusion.video.editing.video_editor import VideoEditor
from faithfusion.video.model.fixers.fixer import FixerInputs, fixer_inputs
from faithfusion.video.model.fixers.head import with_clip

BYTES, HALVES = "bytes", "halves"
"""Tensors of a decoded window: [T, 6 + 4 n + 3 r, H, W] render, truth, n views, their trust and r references;
[T, 3, H, W] expected squared error, alpha and depth."""
INTRINSICS, WORLD_FROM_CAMERA = "intrinsics", "world_from_camera"
"""[T, 3, 3] and [T, 4, 4], of a window whose cameras are known."""


@dataclass(frozen=True)
class Before:
    """What stands before the network that is trained: how a window looks behind it, and what tells its clips from those
    of other weights and settings."""

    window: Callable[[Window], Window]
    identity: str


def after_editor(editor: Editor, identity: str) -> Before:
    """An editor whose finished clips a fixer will get, with the error that is left in them."""
    return Before(lambda window: edited_window(window, editor.edit(window)), identity)


def after_codec(editor: VideoEditor, identity: str) -> Before:
    """A generator whose decoded clips its own head will get, beside the renders."""
    return Before(lambda window: with_clip(window, editor.decoded(window)), identity)


def decode_windows(
    windows: Sequence[WindowRef],
    folder: Path,
    num_views: int,
    topology: Topology,
    num_references: int = 0,
    before: Before | None = None,
) -> list[Path]:
    """Writes one file per window, every process decoding a share; those already there are kept. With `before`, as the
    window looks behind it.

    Raises InputError for a window without a true clip of the render's size.
    """
    place = folder / (f"frames_{num_views}_views" + (f"_{num_references}_references" if num_references else ""))
    if before is not None:
        place = place.with_name(f"clips_{place.name}_{before.identity[:12]}")
    return cache_windows(windows, place, lambda ref: decode_window(ref, num_views, num_references, before), topology)


def decode_window(
    ref: WindowRef, num_views: int, num_references: int = 0, before: Before | None = None
) -> dict[str, Tensor]:
    """One window's tensors; views that it lacks are black and without trust. What the shard holds comes back exactly.
    Raises InputError as `decode_windows`, and with fewer references than wanted."""
    window = ref.read_pair()
    if before is not None:
        with torch.no_grad():
            window = before.window(window)
    inputs = fixer_inputs(window, num_references)
    if inputs.references.shape[1] < num_references:
        found = f"window {ref.index}: {inputs.references.shape[1]} references"
        raise InputError(ref.shard.path, found, f"at least {num_references} (fixer.model.sd_turbo.num_references)")
    views, trust = inputs.views[:, :num_views], inputs.trust[:, :num_views]
    missing = num_views - views.shape[1]
    views = F.pad(rearrange(views, "t n c h w -> t (n c) h w"), (0, 0, 0, 0, 0, 3 * missing))
    trust = F.pad(trust, (0, 0, 0, 0, 0, missing))
    truth = rearrange(window.truth, "t h w c -> t c h w")
    references = rearrange(inputs.references, "t r c h w -> t (r c) h w")
    volumes = [inputs.expected_sq_error, inputs.alpha, inputs.depth_m]
    poses = inputs.poses
    cameras = {} if poses is None else {INTRINSICS: poses.intrinsics, WORLD_FROM_CAMERA: poses.world_from_camera}
    return cameras | {
        BYTES: (torch.cat([inputs.render, truth, views, trust, references], dim=1) * 255.0).round().to(torch.uint8),
        HALVES: torch.stack(volumes, dim=1).half(),
    }


class FixerDataset:
    """Random crops of random frames, or of `num_frames` consecutive ones, of decoded windows; references are cropped at
    the same place."""

    def __init__(
        self,
        files: Sequence[Path],
        *,
        height: int,
        width: int,
        num_views: int,
        num_references: int = 0,
        num_frames: int = 1,
    ) -> None:
        self._files, self._size = list(files), (num_frames, height, width)
        self._num_views, self._num_references = num_views, num_references

    def __len__(self) -> int:
        return len(self._files)

    def batch(self, picks: Sequence[Pick], generator: torch.Generator) -> FixerBatch:
        """Cuts one crop per pick; the frames, and where they are cut, are drawn from `generator`. Smaller images are
        whole.

        Raises InputError for images of different sizes in one micro-batch, and for windows of fewer frames or, where
        several are wanted, without cameras.
        """
        rows = [self._crop(pick, generator) for pick in picks]
        sizes = {tuple(row[BYTES].shape[-2:]) for row in rows}
        if len(sizes) > 1:
            raise InputError("data.train", f"images of sizes {sorted(sizes)}", "one size, or smaller crops")
        joined = {name: torch.cat([row[name] for row in rows]).float() for name in rows[0]}
        sizes = [3, 3, 3 * self._num_views, self._num_views, 3 * self._num_references]
        render, truth, views, trust, references = (joined[BYTES] / 255.0).split(sizes, dim=1)
        views, references = (rearrange(images, "b (n c) h w -> b n c h w", c=3) for images in (views, references))
        poses = ViewPoses(joined[INTRINSICS], joined[WORLD_FROM_CAMERA]) if self._size[0] > 1 else None
        volumes = joined[HALVES].unbind(1)
        return FixerBatch(FixerInputs(render, views, trust, *volumes, references, self._size[0], poses), truth)

    def _crop(self, pick: Pick, generator: torch.Generator) -> dict[str, Tensor]:
        path, several = self._files[pick.item], self._size[0] > 1
        with safe_open(path, framework="pt") as file:
            parts = {name: file.get_slice(name) for name in (BYTES, HALVES)}
            frames, _, *full = parts[BYTES].get_shape()
            if frames < self._size[0] or (several and INTRINSICS not in file.keys()):  # noqa: SIM118
                expected = f"at least fixer.crop_frames = {self._size[0]} frames, with cameras"
                raise InputError(path, f"a window of {frames} frames", expected)
            wanted = [min(side, most) for side, most in zip(self._size, (frames, *full), strict=True)]
            starts = [
                int(torch.rand((), generator=generator) * (n - m + 1))
                for n, m in zip([frames, *full], wanted, strict=True)
            ]
            t, y, x = (slice(start, start + size) for start, size in zip(starts, wanted, strict=True))
            crop = {name: part[t, :, y, x] for name, part in parts.items()}
            if several:
                crop |= {name: file.get_slice(name)[t] for name in (INTRINSICS, WORLD_FROM_CAMERA)}
        if several:
            crop[INTRINSICS] = _cropped(crop[INTRINSICS], x.start, y.start, wanted[2] if pick.flip else 0)
        return crop | {name: crop[name].flip(-1) for name in parts} if pick.flip else crop


def _cropped(intrinsics: Float[Tensor, "t 3 3"], left: int, top: int, mirrored_width: int) -> Float[Tensor, "t 3 3"]:
    """Intrinsics of a part of the pictures; with the x axis reversed in a mirrored part of that width."""
    cut = intrinsics.clone()
    cut[:, 0, 2] -= left
    cut[:, 1, 2] -= top
    if mirrored_width:
        cut[:, 0] = -cut[:, 0]
        cut[:, 0, 2] += mirrored_width
    return cut
