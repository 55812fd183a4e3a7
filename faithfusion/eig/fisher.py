"""FisherRF's uncertainty of a view, as a baseline: Jiang, Lei and Daniilidis, "FisherRF: Active View Selection and
Mapping with Radiance Fields Using Fisher Information" (ECCV 2024), on this package's rasteriser.

H is the diagonal of the Fisher information: the sum over pixels and channels of (d colour / d theta)^2, for every
parameter of a Gaussian as it is stored. The authors square every pixel's gradient inside a CUDA kernel of their own
(that of the summed channels, but for the colours). Here autograd does the work, which can only sum before it squares.
With random signs in front of the colours the square of the sum has the sum of squares as its expectation (Hutchinson
1989), so one forward and one backward pass per view are enough for it too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.eig.observe import TrainingView, counted_pixels
from faithfusion.render.render_view import render_view
from faithfusion.render.warp_backend import blend_values
from faithfusion.types import Camera, Gaussians, GaussianScene, Rendering
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track
from faithfusion.utils.seed import make_generator

REGULARISER = 1e-6
"""The lambda that FisherRF adds to H before it is inverted."""
QUATERNION = slice(3, 7)


@dataclass(frozen=True)
class FisherMaps:
    """Uncertainty of every pixel of a new view, without a unit. `gain`: what the paper ranks views by, the sum over
    parameters of H_view / (H_train + lambda), of every Gaussian, blended as a colour over black. `seen`: what the
    released code draws and compares with errors, the sum of H_view over all parameters but the quaternion, times depth.
    """

    gain: Float[Tensor, "h w"]
    seen: Float[Tensor, "h w"]


def fisher_information(scene: GaussianScene, views: Sequence[TrainingView]) -> Float[Tensor, "n d"]:
    """H summed over the training views, one column per stored parameter: means 3, quaternion 4, log-scales 3, opacity
    logit 1, harmonics 3 K (coefficient by coefficient, channels fastest).

    Pixels outside a view's mask and pixels of the sky count nothing. Raises InputError if a mask does not have its
    camera's size.
    """
    size = sum(values[0].numel() for values in vars(scene.gaussians).values())
    information = torch.zeros(scene.gaussians.num, size, device=scene.gaussians.means.device)
    for number, view in enumerate(track(views, "FisherRF")):
        add_fisher_view(scene, view, number, information)
    return information


def add_fisher_view(scene: GaussianScene, view: TrainingView, number: int, information: Float[Tensor, "n d"]) -> None:
    """Adds the squared gradients of one training view to `information` in place; `number` chooses its signs.

    Raises InputError as `fisher_information`.
    """
    counted = counted_pixels(view)
    signs = random_signs(view.camera, "training view", number) * counted.to(torch.float32)[..., None].cpu()
    information += squared_gradients(scene, view.camera, view.time_index, signs)[0]


def fisher_maps(scene: GaussianScene, information: Float[Tensor, "n d"], camera: Camera, time_index: int) -> FisherMaps:
    """Both maps of a new view, by one forward and one backward pass and one more blending.

    Raises InputError if the information belongs to a scene with another number of parameters.
    """
    signs = random_signs(camera, "new view", time_index)
    view, rendering = squared_gradients(scene, camera, time_index, signs)
    if information.shape != view.shape:
        raise InputError("FisherRF's information", tuple(information.shape), f"the scene's {tuple(view.shape)}")
    with torch.no_grad():
        gain = (view / (information + REGULARISER)).sum(1)
        without_turn = view.sum(1) - view[:, QUATERNION].sum(1)
        values = torch.stack([gain, without_turn * rendering.projection.depths], 1)
        return FisherMaps(*blend_values(rendering, values).unbind(-1))


def squared_gradients(
    scene: GaussianScene, camera: Camera, time_index: int, signs: Float[Tensor, "h w 3"]
) -> tuple[Float[Tensor, "n d"], Rendering]:
    """(sum over pixels and channels of sign * d colour / d theta)^2 of every Gaussian, columns as in
    `fisher_information`, by one forward and one backward pass of the rasteriser; and the rendering."""
    leaves = {name: value.detach().requires_grad_() for name, value in vars(scene.gaussians).items()}
    attached = dataclasses.replace(scene, gaussians=Gaussians(**leaves))
    with torch.enable_grad():
        rendering = render_view(attached, camera, time_index)
        gradients = torch.autograd.grad(rendering.color, list(leaves.values()), signs.to(rendering.color))
    return torch.cat([part.reshape(len(part), -1) for part in gradients], 1).square(), rendering


def random_signs(camera: Camera, *names: object) -> Float[Tensor, "h w 3"]:
    """1 or -1 for every channel of every pixel, the same for the same names."""
    generator = make_generator(0, "FisherRF", *names)
    up: Bool[Tensor, "h w 3"] = torch.randint(2, (camera.height, camera.width, 3), generator=generator).bool()
    return torch.where(up, 1.0, -1.0)
