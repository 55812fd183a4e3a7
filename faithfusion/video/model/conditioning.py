"""Turns an EIG volume into what the generator reads: an EIG block per latent cell and a noise level phi per token.

Everything is pooled over the frames of a VAE chunk ({0}, {1..4}, {5..8}, ...), never sampled in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.types import EigVolume, Window
from faithfusion.video.model.config import ConditioningConfig
from faithfusion.video.model.spec import TRUST_CHANNELS, BackboneSpec

if TYPE_CHECKING:  # they import diffusers, which takes seconds
    from faithfusion.video.model.attention import KeysValues
    from faithfusion.video.model.reference_attention import ReferenceViews


T = TypeVar("T")


@dataclass(frozen=True)
class LatentConditions:
    """All that the generator is told about a batch of windows."""

    render_latent: Float[Tensor, "b c t h w"]
    eig_block: Float[Tensor, "b e t h w"]
    phi: Float[Tensor, "b t th tw"]  # noise level of every token, 0 = certain, 1 = unknown
    vace: Float[Tensor, "b v t h w"] | None = None  # VACE's own context
    inverse_depth: Float[Tensor, "b 1 t h w"] | None = None
    warped: Float[Tensor, "b s t h w"] | None = None  # latents of the warped views, each with its pooled trust
    references: ReferenceViews | None = None
    reference_keys: Sequence[KeysValues] | None = None  # those of `references`, if computed once for many steps


def each_tensor(value: T, function: Callable[[Tensor], Tensor]) -> T:
    """The same dataclass with `function` of every tensor in it, however deep."""
    if isinstance(value, Tensor):
        return function(value)
    if not is_dataclass(value):
        return value
    return replace(value, **{f.name: each_tensor(getattr(value, f.name), function) for f in fields(value)})


def conditions_to_tensors(conditions: LatentConditions) -> dict[str, Tensor]:
    """The tensors by name, "references.latent" and so on for nested ones; without what is None."""
    plain = {f.name: getattr(conditions, f.name) for f in fields(conditions) if f.name != "reference_keys"}
    views = plain.pop("references")
    if views is not None:
        plain |= {f"references.{f.name}": getattr(views, f.name) for f in fields(views)}
    return {name: value for name, value in plain.items() if value is not None}


def conditions_from_tensors(tensors: Mapping[str, Tensor]) -> LatentConditions:
    """Undoes `conditions_to_tensors`."""
    plain = {name: value for name, value in tensors.items() if not name.startswith("references.")}
    nested = {name.removeprefix("references."): tensors[name] for name in tensors.keys() - plain.keys()}
    if nested:
        from faithfusion.video.model.reference_attention import ReferenceViews

        return LatentConditions(**plain, references=ReferenceViews(**nested))
    return LatentConditions(**plain)


def noise_level(expected_sq_error: Float[Tensor, "*shape"], config: ConditioningConfig) -> Float[Tensor, "*shape"]:
    """phi in [0, 1) from the calibrated squared error V (colours in [0, 1]); 0 up to `certain_rms`, then strictly
    monotone."""
    rms = (expected_sq_error.clamp_min(0.0).sqrt() - config.certain_rms).clamp_min(0.0)
    scaled = config.noise_over_error * 2.0 * rms  # 2: from [0, 1] to [-1, 1]
    return scaled / (1.0 + scaled)


def rms_error(phi: Float[Tensor, "*shape"], config: ConditioningConfig) -> Float[Tensor, "*shape"]:
    """Undoes `noise_level`: the RMS error in [-1, 1] units that phi stands for, infinite at phi = 1."""
    return phi / (config.noise_over_error * (1.0 - phi)) + 2.0 * config.certain_rms


def pool_eig(
    volume: EigVolume, known: Bool[Tensor, " t"], config: ConditioningConfig, spec: BackboneSpec
) -> tuple[Float[Tensor, "e k y x"], Float[Tensor, "k th tw"]]:
    """EIG block (`BackboneSpec.eig_channels` values per latent cell) and phi (one value per token) of one window. Known
    frames count as certain."""
    error = torch.where(known[:, None, None], 0.0, volume.expected_sq_error.float())
    level = chunk_frames(noise_level(error, config), spec)
    cells = {"p": spec.stride, "q": spec.stride}
    marked = chunk_frames(error, spec) > config.marked_rms**2
    channels = [
        rearrange(level.amax(1), "k (h p) (w q) -> (p q) k h w", **cells),
        reduce(level, "k f (h p) (w q) -> 1 k h w", "mean", **cells),
        reduce(level, "k f (h p) (w q) -> 1 k h w", "max", **cells),
        reduce(marked.float(), "k f (h p) (w q) -> 1 k h w", "mean", **cells),
        reduce(chunk_frames(volume.alpha.float(), spec), "k f (h p) (w q) -> 1 k h w", "mean", **cells),
    ]
    side = spec.token_pixels
    tokens = rearrange(level, "k f (h p) (w q) -> k h w (f p q)", p=side, q=side)
    rank = max(1, round(config.token_quantile * tokens.shape[-1]))
    return torch.cat(channels), tokens.kthvalue(rank, dim=-1).values


def chunk_frames(values: Float[Tensor, "t h w"], spec: BackboneSpec) -> Float[Tensor, "k f h w"]:
    """Frames by VAE chunk; frame 0 is repeated to fill its own."""
    filled = torch.cat([values[:1].expand(spec.chunk_frames - 1, -1, -1), values])
    return rearrange(filled, "(k f) h w -> k f h w", f=spec.chunk_frames)


def pool_depth(depth_m: Float[Tensor, "t h w"], spec: BackboneSpec) -> Float[Tensor, "1 k y x"]:
    """Mean inverse depth (1 / m) per latent cell and VAE chunk; 0 where nothing was rendered."""
    inverse = torch.where(depth_m > 0.0, 1.0 / depth_m.clamp_min(0.1), 0.0)
    return reduce(chunk_frames(inverse, spec), "k f (h p) (w q) -> 1 k h w", "mean", p=spec.stride, q=spec.stride)


def split_warped(
    warped: Float[Tensor, "b v t h w"], count: int
) -> tuple[Float[Tensor, "b n c t h w"], Float[Tensor, "b n t h w"]]:
    """Latents and mean trust of the `count` warped views in `LatentConditions.warped`."""
    views = warped.unflatten(1, (count, -1))
    return views[:, :, :-TRUST_CHANNELS], views[:, :, -TRUST_CHANNELS]


def pool_trust(trust: Float[Tensor, "t h w"], spec: BackboneSpec) -> Float[Tensor, "2 k y x"]:
    """Mean and smallest trust in a warped view per latent cell and VAE chunk."""
    chunks = chunk_frames(trust.float(), spec)
    pooled = [
        reduce(chunks, "k f (h p) (w q) -> 1 k h w", how, p=spec.stride, q=spec.stride) for how in ("mean", "min")
    ]
    return torch.cat(pooled)


def regenerate_mask(window: Window, config: ConditioningConfig) -> Bool[Tensor, "t h w"]:
    """Pixels that VACE is told to regenerate: expected error above `marked_rms`, in frames that are not known."""
    return (window.eig.expected_sq_error > config.marked_rms**2) & ~window.known[:, None, None]


def vace_mask(mask: Bool[Tensor, "t h w"], spec: BackboneSpec) -> Float[Tensor, "pq k y x"]:
    """VACE's mask channels (1 = regenerate): the pixels of a cell unshuffled, the maximum over the frames of a chunk.

    VACE itself samples one frame per chunk, not always one of that chunk, so a mask that moves loses pixels.
    """
    chunks = chunk_frames(mask.float(), spec).amax(1)
    return rearrange(chunks, "k (h p) (w q) -> (p q) k h w", p=spec.stride, q=spec.stride)
