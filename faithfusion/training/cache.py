"""Latents and pooled EIG of every training window, encoded once per codec, plain and mirrored."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faithfusion.training.data import WindowRef
from faithfusion.training.engine import wait_for_all
from faithfusion.training.topology import Topology
from faithfusion.types import Camera, EigVolume, WarpedViews, Window
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.plain import config_hash
from faithfusion.utils.progress import track
from faithfusion.video.editing.encode import latent_conditions, to_video
from faithfusion.video.model.conditioning import conditions_to_tensors
from faithfusion.video.model.generator import Generator

SIDES = ("plain", "mirrored")
SAMPLED_BYTES = 1 << 18
"""Read from each end of a shard to know it again: tensors of every window of a short clip, headers of all."""


def cache_latents(windows: Sequence[WindowRef], folder: Path, generator: Generator, topology: Topology) -> list[Path]:
    """Writes one file per window under a folder named after codec and conditioning; those already there are kept.

    Every process encodes its share and waits for the others. The generator is used where it is (on the device).
    """
    place = folder / f"latents_{_encoder_hash(generator)}"
    return cache_windows(windows, place, lambda ref: encode_window(ref, generator), topology)


def cache_windows(
    windows: Sequence[WindowRef], place: Path, encode: Callable[[WindowRef], dict[str, Tensor]], topology: Topology
) -> list[Path]:
    """Writes one file of named tensors per window into the folder `place`; those already there are kept.

    Every process encodes its share and waits for the others.
    """
    files = [place / file_name(ref) for ref in windows]
    # shares do not depend on what is there already, because another process may have started writing
    own = range(topology.rank, len(files), topology.world_size)
    share = [number for number in own if not _is_whole(files[number])]
    for number in track(share, place.name.split("_")[0]) if topology.is_first else share:
        tensors = encode(windows[number])
        with atomic_file(files[number]) as temporary:
            save_file(tensors, temporary)
    wait_for_all()
    return files


@torch.no_grad()
def encode_window(ref: WindowRef, generator: Generator) -> dict[str, Tensor]:
    """Truth latent and conditions of one window, plain and mirrored; phi and rays in float32, the rest in float16.

    Raises InputError if the window has no true clip, or if its parts differ in size.
    """
    window = ref.read_pair()
    tensors: dict[str, Tensor] = {}
    for side, view in zip(SIDES, (window, mirrored(window)), strict=True):
        encoded = conditions_to_tensors(latent_conditions(generator, [view]))
        encoded["truth_latent"] = generator.codec.encode(to_video(view.truth[None]).to(generator.prompt.device))
        tensors |= {f"{side}.{name}": _packed(name, value) for name, value in encoded.items()}
    return tensors


def mirrored(window: Window) -> Window:
    """The window of a mirrored world: left and right exchanged in every image, the world's x axis reversed."""
    eig = EigVolume(*(getattr(window.eig, field.name).flip(2) for field in dataclasses.fields(EigVolume)))
    warped = window.warped
    if warped is not None:
        warped = WarpedViews(warped.colors.flip(3), warped.trust.flip(3))
    return dataclasses.replace(
        window,
        render=window.render.flip(2),
        eig=eig,
        depth=window.depth.flip(2),
        references=window.references.flip(2),
        truth=None if window.truth is None else window.truth.flip(2),
        cameras=tuple(map(_mirrored_camera, window.cameras)),
        reference_cameras=tuple(map(_mirrored_camera, window.reference_cameras)),
        warped=warped,
    )


def _mirrored_camera(camera: Camera) -> Camera:
    """Reflects world and camera along their x axes: again a rigid pose, with the principal point on the other side."""
    reflection = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    intrinsics = camera.intrinsics.clone()
    intrinsics[0, 2] = camera.width - intrinsics[0, 2]
    intrinsics[0, 1] = -intrinsics[0, 1]  # the skew changes its sign
    pose = reflection @ camera.world_from_camera @ reflection
    return dataclasses.replace(camera, intrinsics=intrinsics, world_from_camera=pose)


def _packed(name: str, values: Tensor) -> Tensor:
    exact = name == "phi" or name.endswith("rays")
    return values[0].to("cpu", torch.float32 if exact else torch.float16).contiguous()


def _is_whole(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False


def _encoder_hash(generator: Generator) -> str:
    config = generator.config
    branch = [getattr(config.branch, name) for name in ("init", "references", "depth", "vace_reactive", "warped")]
    parts = (config.codec, config.conditioning, *branch)
    digest = hashlib.sha256(config_hash(*parts).encode())
    for name, value in sorted(generator.codec.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def file_name(ref: WindowRef) -> str:
    """The name of a window's file, the same for every copy of its shard."""
    path = ref.shard.path
    status = path.stat()
    return f"{path.stem}_{_content(path, status.st_size, status.st_mtime_ns)}_{ref.index:03d}.safetensors"


@lru_cache(maxsize=4096)
def _content(path: Path, size: int, _: int) -> str:
    """Tells a shard from another one of its name: its size, and bytes from both ends."""
    with path.open("rb") as file:
        begin = file.read(SAMPLED_BYTES)
        file.seek(max(0, size - SAMPLED_BYTES))
        return hashlib.sha256(b"%d" % size + begin + file.read()).hexdigest()[:8]
