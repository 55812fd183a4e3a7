import pytest
import torch
from tiny_generator import tiny_generator
from tiny_training import fixed_generator

from faithfusion.training.codec import CodecMethod, gradient_distance, measure_statistics
from faithfusion.training.data import ClipBatch
from faithfusion.training.method_config import CodecMethodConfig


def clips(count: int = 2) -> torch.Tensor:
    """Smooth clips in [-1, 1]."""
    coarse = torch.rand(count, 3, 2, 4, 4, generator=fixed_generator()) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(5, 32, 32), mode="trilinear", align_corners=True)


def test_loss_falls_on_a_fixed_batch() -> None:
    method = CodecMethod(CodecMethodConfig(latent_noise=0.0), tiny_generator())
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss, _ = method(ClipBatch(clips()), fixed_generator())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_only_the_codec_is_trained() -> None:
    generator = tiny_generator()
    names = {name for name, _ in CodecMethod(CodecMethodConfig(), generator).named_parameters()}
    assert names == {name for name, _ in generator.named_parameters() if name.startswith("codec.")}
    assert not generator.prompt.requires_grad


def test_gradient_distance_by_hand() -> None:
    ramp = torch.arange(8.0).expand(1, 3, 1, 8, 8)
    # horizontal differences are 1, 2 and 4 at the three scales, vertical ones 0
    assert float(gradient_distance(ramp, torch.zeros_like(ramp))) == pytest.approx((1 + 2 + 4) / 3)
    assert float(gradient_distance(ramp + 5.0, ramp)) == 0.0


def test_measured_statistics_normalise_the_latents() -> None:
    codec = tiny_generator().codec
    video = clips(3)
    measure_statistics(codec, list(video))
    latents = codec.encode(video).transpose(0, 1).flatten(1)
    assert torch.allclose(latents.mean(1), torch.zeros(8), atol=1e-4)
    assert torch.allclose(latents.std(1, correction=0), torch.ones(8), atol=1e-3)
