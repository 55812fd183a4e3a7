"""Latents and pooled EIG of every training window, encoded once per codec, plain and mirrored."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faithfusion.config import config_hash
from faithfusion.types import EigVolume, Window
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track
from faithfusion.video.model import Generator, latent_conditions, to_video
from train_video.data import WindowRef
from train_video.engine import Topology, wait_for_all

SIDES = ("plain", "mirrored")


def cache_latents(windows: Sequence[WindowRef], folder: Path, generator: Generator, topology: Topology) -> list[Path]:
    """One file per window under a folder named after codec and conditioning; those already there are kept.

    Every process encodes its share and waits for the others. The generator is used where it is (on the device).
    """
    place = folder / f"latents_{_encoder_hash(generator)}"
    files = [place / _file_name(ref) for ref in windows]
    # shares do not depend on what is there already, because another process may have started writing
    own = range(topology.rank, len(files), topology.world_size)
    share = [number for number in own if not _is_whole(files[number])]
    for number in track(share, "latents") if topology.is_first else share:
        tensors = encode_window(windows[number], generator)
        with atomic_file(files[number]) as temporary:
            save_file(tensors, temporary)
    wait_for_all()
    return files


@torch.no_grad()
def encode_window(ref: WindowRef, generator: Generator) -> dict[str, Tensor]:
    """Truth and render latents, EIG block (float16) and phi (float32) of one window, plain and mirrored.

    Raises InputError if the window has no true clip.
    """
    window = ref.read()
    if window.truth is None:
        raise InputError(ref.shard.path, f"window {ref.index} has no true clip", "training pairs with `truth`")
    tensors: dict[str, Tensor] = {}
    for side, view in zip(SIDES, (window, mirrored(window)), strict=True):
        conditions = latent_conditions(generator, [view])
        truth = generator.codec.encode(to_video(view.truth[None]).to(generator.prompt.device))
        tensors[f"{side}.truth_latent"] = _packed(truth)
        tensors[f"{side}.render_latent"] = _packed(conditions.render_latent)
        tensors[f"{side}.eig_block"] = _packed(conditions.eig_block)
        tensors[f"{side}.phi"] = conditions.phi[0].cpu().contiguous()
    return tensors


def mirrored(window: Window) -> Window:
    """The window seen in a mirror: left and right exchanged. References keep their own views."""
    eig = EigVolume(*(getattr(window.eig, field.name).flip(2) for field in dataclasses.fields(EigVolume)))
    truth = None if window.truth is None else window.truth.flip(2)
    return dataclasses.replace(window, render=window.render.flip(2), eig=eig, depth=window.depth.flip(2), truth=truth)


def _packed(values: Tensor) -> Tensor:
    return values[0].to("cpu", torch.float16).contiguous()


def _is_whole(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False


def _encoder_hash(generator: Generator) -> str:
    digest = hashlib.sha256(config_hash(generator.config.codec, generator.config.conditioning).encode())
    for name, value in sorted(generator.codec.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _file_name(ref: WindowRef) -> str:
    status = ref.shard.path.stat()
    return f"{ref.shard.path.stem}_{config_hash(status.st_size, status.st_mtime_ns)[:8]}_{ref.index:03d}.safetensors"
