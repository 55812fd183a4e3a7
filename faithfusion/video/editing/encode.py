"""Turns windows into what the generator reads, and its videos back into frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.clips.windows import padded_side, reflected_indices
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.video.model.conditioning import (
    LatentConditions,
    pool_depth,
    pool_eig,
    pool_trust,
    regenerate_mask,
    vace_mask,
)
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.reference_attention import ReferenceViews, pluecker_rays


def latent_conditions(generator: Generator, windows: Sequence[Window]) -> LatentConditions:
    """Encodes the renders and pools the EIG of windows of one size, a whole number of tokens (`BackboneSpec`).

    Raises InputError if render and EIG of a window differ in size, or if a window lacks what the branch wants: poses
    (references), warped views.
    """
    device, config = generator.prompt.device, generator.config
    spec = config.spec
    for window in windows:
        _check_sizes(window)
    renders = torch.stack([window.render for window in windows])
    pooled = [pool_eig(window.eig, window.known, config.conditioning, spec) for window in windows]
    depth = torch.stack([pool_depth(window.depth, spec) for window in windows]) if config.branch.depth else None
    return LatentConditions(
        render_latent=generator.codec.encode(to_video(renders).to(device)),
        eig_block=torch.stack([block for block, _ in pooled]).to(device),
        phi=torch.stack([phi for _, phi in pooled]).to(device),
        vace=_vace_context(generator, windows) if config.branch.init == "vace" else None,
        inverse_depth=None if depth is None else depth.to(device),
        warped=_warped(generator, windows, config.branch.warped) if config.branch.warped else None,
        references=_references(generator, windows) if config.branch.references else None,
    )


def _check_sizes(window: Window) -> None:
    render = tuple(window.render.shape[:3])
    for name in ("expected_sq_error", "alpha"):
        found = tuple(getattr(window.eig, name).shape)
        if found != render:
            raise InputError(f"window: {name} (frames, height, width)", found, f"{render} as the render")


def _vace_context(generator: Generator, windows: Sequence[Window]) -> Float[Tensor, "b v t h w"]:
    """[inactive latent | reactive latent | mask]: the render with grey where it is to be regenerated, the rest with
    grey elsewhere or grey everywhere, and the unshuffled mask."""
    config, device = generator.config, generator.prompt.device
    masks = [regenerate_mask(window, config.conditioning) for window in windows]
    video = to_video(torch.stack([window.render for window in windows])).to(device)
    hole = torch.stack(masks)[:, None].to(device)
    shown = hole if config.branch.vace_reactive == "render" else torch.zeros_like(hole)
    inactive = generator.codec.encode(torch.where(hole, 0.0, video))
    reactive = generator.codec.encode(torch.where(shown, video, 0.0))
    return torch.cat(
        [inactive, reactive, torch.stack([vace_mask(mask, config.spec) for mask in masks]).to(device)], dim=1
    )


def _warped(generator: Generator, windows: Sequence[Window], count: int) -> Float[Tensor, "b v t h w"]:
    """Latents of the best `count` warped views, the render where there is none, each with its pooled trust."""
    device, spec, parts = generator.prompt.device, generator.config.spec, []
    for number in range(count):
        for window in windows:
            if window.warped is None or len(window.warped.colors) <= number:
                found = "none" if window.warped is None else len(window.warped.colors)
                raise InputError("window: warped views", found, f"at least {count} (branch.warped)")
        views = torch.stack([window.warped.colors[number] for window in windows])
        parts.append(generator.codec.encode(to_video(views).to(device)))
        parts.append(torch.stack([pool_trust(window.warped.trust[number], spec) for window in windows]).to(device))
    return torch.cat(parts, dim=1)


def _references(generator: Generator, windows: Sequence[Window]) -> ReferenceViews:
    """Encodes every reference as a clip of one frame, padded by reflection. Rays are in the frame of the window's first
    camera."""
    rows = [_window_references(generator, window) for window in windows]
    return ReferenceViews(*(torch.stack(values) for values in zip(*rows, strict=True)))


def _window_references(generator: Generator, window: Window) -> tuple[Tensor, Tensor, Tensor]:
    if window.poses is None or window.reference_poses is None:
        raise InputError("window", "no camera poses", "poses of frames and references (branch.references)")
    codec, device, spec = generator.codec, generator.prompt.device, generator.config.spec
    height, width = (padded_side(side, spec.token_pixels) for side in window.references.shape[1:3])
    rows = reflected_indices(window.references.shape[1], height)
    columns = reflected_indices(window.references.shape[2], width)
    images = to_video(window.references[:, None][:, :, rows][:, :, :, columns])
    # one at a time: an encoder that keeps a clip in memory needs that of one image
    latents = torch.cat([codec.encode(image[None].to(device)) for image in images])[:, :, 0]
    frame = window.poses.world_from_camera[0]
    rays = pluecker_rays(window.reference_poses, frame, height, width, spec.token_pixels)
    of_frames = pluecker_rays(window.poses, frame, *window.render.shape[1:3], spec.token_pixels)
    chunks = torch.cat([of_frames[:1], of_frames[1:].unflatten(0, (-1, spec.chunk_frames)).mean(1)])
    return latents, rays.to(device), chunks.transpose(0, 1).to(device)


def to_video(frames: Float[Tensor, "b t h w 3"]) -> Float[Tensor, "b 3 t h w"]:
    """Frames in [0, 1] to the codec's layout in [-1, 1]."""
    return (2.0 * frames.float() - 1.0).permute(0, 4, 1, 2, 3).contiguous()


def to_frames(video: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b t h w 3"]:
    """The codec's layout in [-1, 1] to frames, clamped to [0, 1]."""
    return (0.5 * video + 0.5).clamp(0.0, 1.0).permute(0, 2, 3, 4, 1)
