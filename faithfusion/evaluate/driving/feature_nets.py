"""Networks whose features say how alike two sets of pictures are: Inception with the user's weights, or MobileNetV2."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.evaluate.driving.state_dicts import read_state
from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra
from faithfusion.utils.media import to_uint8
from faithfusion.utils.mobilenet import IMAGENET_MEAN, IMAGENET_STD, open_mobilenet

INCEPTION_FEATURES = 2048


@runtime_checkable
class FeatureNet(Protocol):
    """Turns a picture [H, W, 3] in [0, 1] into one vector of features. `name` belongs beside every number; with
    `is_inception` the distances are FID and KID."""

    name: str
    is_inception: bool

    def __call__(self, image: Float[Tensor, "h w 3"]) -> Float[Tensor, " features"]: ...


class MobileNetFeatures:
    """The 1280 features of MobileNetV2 before its classifier, averaged over a picture at its own size."""

    name, is_inception = "MobileNetV2", False

    def __init__(self) -> None:
        self._network = open_mobilenet()

    @torch.inference_mode()
    def __call__(self, image: Float[Tensor, "h w 3"]) -> Float[Tensor, " features"]:
        """Returns the features of one picture."""
        mean, std = (torch.tensor(values, device=image.device) for values in (IMAGENET_MEAN, IMAGENET_STD))
        planes = ((image - mean) / std).movedim(-1, 0)[None]
        return self._network(planes)[0].mean((1, 2)).cpu()


class InceptionFeatures:
    """The 2048 features of torch-fidelity's Inception, of the picture's bytes stretched to 299 x 299, as FID's."""

    name, is_inception = "Inception", True

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    @torch.inference_mode()
    def __call__(self, image: Float[Tensor, "h w 3"]) -> Float[Tensor, " features"]:
        """Returns the features of one picture."""
        planes = torch.from_numpy(to_uint8(image)).movedim(-1, 0)[None]
        return self._network(planes)[0][0]


def open_inception(path: Path) -> FeatureNet:
    """Returns the network of FID with the weights that torch-fidelity publishes, from the user's own file.

    Raises InputError if torch-fidelity is not installed or the file holds something else; nothing is downloaded.
    """
    require_extra("driving", "torch_fidelity")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    expected = "weights-inception-2015-12-05-6726825d.pth of torch-fidelity"
    read_state(path, expected)  # torch-fidelity itself would run whatever the file says
    try:
        network = FeatureExtractorInceptionV3("inception-v3-compat", [str(INCEPTION_FEATURES)], str(path))
    except RuntimeError:
        raise InputError(path, "the weights of another network", expected) from None
    return InceptionFeatures(network)
