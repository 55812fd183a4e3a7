"""What a net is that finds lines on the road, and TwinLiteNet as one."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.evaluate.driving.lane_references import HEIGHT, WIDTH
from faithfusion.evaluate.driving.state_dicts import load_state
from faithfusion.evaluate.driving.twinlitenet import TwinLiteNet
from faithfusion.evaluate.driving.views import image_at_size

TRAINED_IN_PARALLEL = "module."
"""What stands before the names of a state dict that was saved out of `nn.DataParallel`."""


@runtime_checkable
class LaneNet(Protocol):
    """Finds the pixels of lines on the road. `name` says which network with which weights it is, for tables.

    Calling it with a picture [H, W, 3] in [0, 1] returns the mask of the picture stretched to 640 x 360.
    """

    name: str

    def __call__(self, image: Float[Tensor, "h w 3"]) -> Bool[Tensor, "360 640"]: ...


class TwinLiteNetLanes:
    """The lane head of TwinLiteNet."""

    def __init__(self, network: TwinLiteNet, name: str) -> None:
        self.name = name
        self._network = network

    @torch.inference_mode()
    def __call__(self, image: Float[Tensor, "h w 3"]) -> Bool[Tensor, "360 640"]:
        """Returns the pixels that are rather a line than not."""
        device = next(self._network.parameters()).device
        picture = image_at_size(image.to(device), WIDTH, HEIGHT).movedim(-1, 0)[None]
        _, lanes = self._network(picture)
        return (lanes[0, 1] > lanes[0, 0]).cpu()


def open_twinlitenet(path: Path) -> LaneNet:
    """Returns TwinLiteNet's lane head with the weights of a file. Raises InputError for the weights of another net."""
    network = TwinLiteNet()
    load_state(network, path, "the state dict of TwinLiteNet", TRAINED_IN_PARALLEL)
    return TwinLiteNetLanes(network.eval().requires_grad_(False), Path(path).stem)
