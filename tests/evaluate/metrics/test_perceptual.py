"""MobileNetV2 distance: against a slow twin, and that it grows as pictures get worse."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faithfusion.evaluate.metrics.perceptual import stage_features
from faithfusion.evaluate.metrics.registry import clip_scores
from faithfusion.evaluate.metrics.scored_clip import Target
from faithfusion.types import Camera
from faithfusion.utils import mobilenet
from faithfusion.utils.errors import InputError
from faithfusion.utils.image_math import blur_matrix
from faithfusion.utils.mobilenet import STAGES, feature_distance, mobilenet_from, mobilenet_or_none, open_mobilenet


def mobilenet_distance(network: nn.Module, video: Tensor, truth: Tensor, weight: Tensor | None = None) -> float:
    return float(feature_distance(stage_features(network, video), stage_features(network, truth), weight))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    if find_spec(mobilenet.PACKAGE) is None:
        pytest.skip("needs the extra `metrics`")
    return open_mobilenet()


def picture(size: tuple[int, int] = (96, 128), frames: int = 2) -> Tensor:
    """Smooth shapes with edges and fine texture."""
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) / 16.0, torch.arange(width) / 16.0, indexing="ij")
    shapes = torch.stack([(x.sin() * y.cos() > 0.2).float(), (x + y).sin() * 0.5 + 0.5, (x * y / 8).cos() * 0.5 + 0.5])
    texture = 0.1 * torch.randn(frames, height, width, 3)
    return (0.8 * shapes.permute(1, 2, 0) + 0.1 + texture).clamp(0, 1)


def slow_distance(network: nn.Module, video: Tensor, truth: Tensor, weight: Tensor | None) -> float:
    """Layer by layer, pixel by pixel, one frame at a time."""
    total = 0.0
    for stage in STAGES:
        sums = counts = 0.0
        for t in range(len(video)):
            outputs = []
            for image in (video[t], truth[t]):
                x = (image - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
                outputs.append(network[: stage + 1](x.permute(2, 0, 1)[None])[0])
            _, height, width = outputs[0].shape
            rows, columns = video.shape[1] // height, video.shape[2] // width
            for i in range(height):
                for j in range(width):
                    a, b = outputs[0][:, i, j], outputs[1][:, i, j]
                    cell = 1.0
                    if weight is not None:
                        cell = float(weight[t, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns].mean())
                    sums += cell * float((a / a.norm() - b / b.norm()).square().sum())
                    counts += cell
        total += sums / counts
    return total


@pytest.mark.parametrize("weighted", [False, True])
def test_distance_is_the_slow_one(network: nn.Module, weighted: bool) -> None:
    truth, video = picture((32, 64)), picture((32, 64))
    weight = (torch.rand(truth.shape[:3]) > 0.6).float() if weighted else None
    expected = slow_distance(network, video, truth, weight)
    assert expected > 0.01
    assert mobilenet_distance(network, video, truth, weight) == pytest.approx(expected, rel=1e-4)


def test_more_blur_is_farther(network: nn.Module) -> None:
    truth = picture()
    distances, blurred = [0.0], truth
    for _ in range(4):
        blurred = torch.einsum(
            "ij,tjkc,lk->tilc", blur_matrix(96, truth.device), blurred, blur_matrix(128, truth.device)
        )
        distances.append(mobilenet_distance(network, blurred, truth))
    assert mobilenet_distance(network, truth, truth) == 0.0
    assert all(later > earlier for earlier, later in zip(distances, distances[1:], strict=False))


def test_a_weight_looks_at_its_own_region(network: nn.Module) -> None:
    truth = picture()
    video = truth.clone()
    video[:, :, 64:] = video[:, :, 64:].mean()
    left, right = torch.zeros(truth.shape[:3]), torch.zeros(truth.shape[:3])
    left[:, :, :32], right[:, :, 64:] = 1.0, 1.0
    whole = mobilenet_distance(network, video, truth)
    assert mobilenet_distance(network, video, truth, left) < 0.5 * whole < whole
    assert mobilenet_distance(network, video, truth, right) > 1.5 * whole
    assert math.isnan(mobilenet_distance(network, video, truth, torch.zeros_like(left)))
    zero = torch.zeros_like(left)
    cameras = [Camera(torch.eye(3), torch.eye(4), 128, 96)] * len(truth)
    scores = clip_scores(video, Target(cameras, zero, zero, right > 0, truth=truth, network=network))
    assert scores["mobilenet_distance"] == pytest.approx(whole)
    assert scores["regenerated_mobilenet_distance"] > 1.5 * whole


def test_layers_have_the_weights_that_the_file_names(network: nn.Module) -> None:
    """The first two blocks by hand, from the file's own names; the architecture calls its layers otherwise."""
    folder = Path(find_spec(mobilenet.PACKAGE).submodule_search_locations[0])
    state = torch.load(folder / mobilenet.WEIGHTS, weights_only=True)

    def normed(x: Tensor, name: str) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        scale = state[f"{name}.weight"] / (var + 1e-5).sqrt()
        return (x - mean[:, None, None]) * scale[:, None, None] + state[f"{name}.bias"][:, None, None]

    x = torch.randn(1, 3, 32, 32)
    by_hand = normed(F.conv2d(x, state["features.0.0.weight"], stride=2, padding=1), "features.0.1").clamp(0, 6)
    by_hand = F.conv2d(by_hand, state["features.1.conv.0.weight"], padding=1, groups=32)
    by_hand = normed(by_hand, "features.1.conv.1").clamp(0, 6)
    by_hand = normed(F.conv2d(by_hand, state["features.1.conv.3.weight"]), "features.1.conv.4")
    torch.testing.assert_close(network[:2](x), by_hand, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="1 tensors"):
        mobilenet_from({"features.0.0.weight": state["features.0.0.weight"]})


def test_without_the_package_it_is_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(mobilenet, "PACKAGE", "a_package_that_nobody_has")
    assert mobilenet_or_none() is None
    line = capsys.readouterr().err
    assert 'pip install "faithfusion[metrics]"' in line and line.count("\n") == 1
