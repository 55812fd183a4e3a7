"""True frames as the generator gets them: sides that are multiples of 16, nothing to learn where nothing was seen."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from faithfusion.clips.windows import padded_side, reflected_indices
from faithfusion.eig.assess import training_view
from faithfusion.types import Camera, DriveClip, EigVolume, Frame, Window
from faithfusion.utils.errors import InputError
from faithfusion.window.framing_config import FramingConfig

SIDE_MULTIPLE = 16
COVERED_ALPHA = 0.5
MIN_GAIN, MAX_GAIN = 0.5, 2.0
MIN_MATCHED_PIXELS = 100


@dataclass(frozen=True)
class Framing:
    """From a camera's own pictures to those of a window: blocks of `downscale` pixels, then a part of them. `rows` and
    `columns` are the blocks that are shown; those added at the ends repeat others and are not real."""

    downscale: int
    rows: Int[Tensor, " h"]
    columns: Int[Tensor, " w"]
    real_rows: int
    real_columns: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return len(self.rows), len(self.columns)

    def camera(self, camera: Camera) -> Camera:
        """The camera that takes the framed picture."""
        matrix = camera.intrinsics.clone()
        matrix[:2] /= self.downscale
        matrix[0, 2] -= int(self.columns[0])
        matrix[1, 2] -= int(self.rows[0])
        return dataclasses.replace(camera, intrinsics=matrix, height=len(self.rows), width=len(self.columns))

    def image(self, image: Float[Tensor, "h w 3"]) -> Float[Tensor, "h2 w2 3"]:
        """Mean colours of the blocks."""
        return self._blocks(image).mean((1, 3))[self.rows][:, self.columns]

    def mask(self, mask: Bool[Tensor, "h w"]) -> Bool[Tensor, "h2 w2"]:
        """Blocks whose pixels are all set, and which are real."""
        framed = self._blocks(mask).all(3).all(1)[self.rows][:, self.columns]
        framed[self.real_rows :] = False
        framed[:, self.real_columns :] = False
        return framed

    def _blocks(self, image: Tensor) -> Tensor:
        step = self.downscale
        height, width = (side // step * step for side in image.shape[:2])
        return image[:height, :width].reshape(height // step, step, width // step, step, *image.shape[2:])


def framing_of(camera: Camera, config: FramingConfig) -> Framing:
    """How a camera's pictures are framed.  Raises InputError if nothing would be left of them."""
    height, width = camera.height // config.downscale, camera.width // config.downscale
    if config.sides == "pad":
        height, width = padded_side(height, SIDE_MULTIPLE), padded_side(width, SIDE_MULTIPLE)
    else:
        height, width = height // SIDE_MULTIPLE * SIDE_MULTIPLE, width // SIDE_MULTIPLE * SIDE_MULTIPLE
    if not (height and width):
        found = f"{camera.width}x{camera.height} pixels of camera {camera.name!r}, downscale {config.downscale}"
        raise InputError("framing", found, f"at least {SIDE_MULTIPLE} pixels a side after that")
    return framed_to(camera, config.downscale, height, width)


def framed_to(camera: Camera, downscale: int, height: int, width: int) -> Framing:
    """A framing of a given size: larger pictures are cut evenly at both sides, smaller ones get reflected pixels to the
    right and below."""
    (rows, real_rows), (columns, real_columns) = (
        _part(full // downscale, side) for full, side in ((camera.height, height), (camera.width, width))
    )
    return Framing(downscale, rows, columns, real_rows, real_columns)


def _part(full: int, wanted: int) -> tuple[Int[Tensor, " n"], int]:
    if wanted > full:
        return reflected_indices(full, wanted), full
    return (full - wanted) // 2 + torch.arange(wanted), wanted


@dataclass(frozen=True)
class TrueFrame:
    """A true picture; `valid`: pixels that show the world as the scene could know it."""

    color: Float[Tensor, "h w 3"]
    valid: Bool[Tensor, "h w"]


def recorded_truth(clip: DriveClip, frame: Frame, framing: Framing) -> TrueFrame:
    """A recorded frame. Not valid: the recording vehicle, what the lens never saw, movers without a box, padding."""
    view = training_view(clip, frame)
    return TrueFrame(framing.image(view.image), framing.mask(view.mask))


def with_truth(window: Window, truth: list[TrueFrame], gain: Float[Tensor, 3] | None = None) -> Window:
    """The window with its true clip. Where that is not valid, it is the render itself, and EIG and expected error are
    0: nothing is to be regenerated and nothing is learnt."""
    valid = torch.stack([frame.valid for frame in truth])
    colors = torch.stack([frame.color for frame in truth])
    colors = colors if gain is None else (colors * gain).clamp(0.0, 1.0)
    eig = EigVolume(
        eig_nats=torch.where(valid, window.eig.eig_nats, 0.0),
        expected_sq_error=torch.where(valid, window.eig.expected_sq_error, 0.0),
        alpha=window.eig.alpha,
    )
    return dataclasses.replace(window, eig=eig, truth=torch.where(valid[..., None], colors, window.render))


def brightness_gain(window: Window, truth: list[TrueFrame]) -> Float[Tensor, 3]:
    """Factor per channel that gives the truth the render's brightness, from the half of the covered pixels that are
    known best. A ratio of means: unlike least squares it does not shrink where the render is blurred."""
    counted = torch.stack([frame.valid for frame in truth]) & (window.eig.alpha > COVERED_ALPHA)
    if int(counted.sum()) < MIN_MATCHED_PIXELS:
        return torch.ones(3)
    error = window.eig.expected_sq_error
    counted &= error <= error[counted].median()
    colors = torch.stack([frame.color for frame in truth])
    ratio = window.render[counted].sum(0) / colors[counted].sum(0).clamp_min(1e-6)
    return ratio.clamp(MIN_GAIN, MAX_GAIN)
