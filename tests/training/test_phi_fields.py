import pytest
import torch
from tiny_training import fixed_generator

from faithfusion.training.method_config import PhiConfig
from faithfusion.training.phi_fields import draw_history, draw_phi, smooth_field

OWN = 0.3 * torch.rand(400, 2, 3, 4, generator=fixed_generator(1)) + 0.2


def test_families_have_their_shares() -> None:
    config = PhiConfig(ones=0.2, smooth=0.3)
    phi = draw_phi(OWN, config, fixed_generator())
    ones = (phi == 1).flatten(1).all(1)
    own = (phi == OWN).flatten(1).all(1)
    raised = ~(ones | own)
    shares = [float(kind.float().mean()) for kind in (ones, raised, own)]
    assert shares == pytest.approx([0.2, 0.3, 0.5], abs=0.07)
    assert bool((phi[raised] >= OWN[raised]).all()), "never more certain than EIG"


def test_no_families_keep_the_windows_own_phi() -> None:
    assert torch.equal(draw_phi(OWN, PhiConfig(ones=0, smooth=0), fixed_generator()), OWN)


def test_smooth_fields_are_smooth_and_within_bounds() -> None:
    field = smooth_field((50, 5, 12, 20), fixed_generator())
    assert float(field.min()) >= 0.0 and float(field.max()) <= 1.0
    white = torch.rand(field.shape, generator=fixed_generator(2))
    assert float(field.diff(dim=-1).abs().mean()) < 0.4 * float(white.diff(dim=-1).abs().mean())


def test_history_is_the_first_one_or_two_frames_of_its_share() -> None:
    history = draw_history(1000, 5, 0.25, fixed_generator())
    lengths = history.sum(1)
    assert set(lengths.tolist()) == {0, 1, 2}
    assert float((lengths > 0).float().mean()) == pytest.approx(0.25, abs=0.05)
    assert bool((history.int().diff(dim=1) <= 0).all()), "history comes first"
