from __future__ import annotations

import pytest
import torch
from tiny_generator import tiny_window

from faithfusion.distill.weights import edit_weight
from faithfusion.eig.published import bin_weight
from faithfusion.utils.errors import InputError
from faithfusion.video.editor import EditedClip


def edited_of(window) -> EditedClip:
    gain = torch.rand(window.render.shape[:3])
    return EditedClip(window.render, window.render, gain, gain)


def test_kalman_is_the_editors_gain_and_uniform_is_one() -> None:
    window = tiny_window()
    edited = edited_of(window)
    assert torch.equal(edit_weight("kalman", window, edited), edited.gain)
    assert torch.equal(edit_weight("uniform", window, edited), torch.ones_like(edited.gain))


def test_plain_eig_is_normalised_by_the_clip() -> None:
    window = tiny_window()
    weight = edit_weight("eig", window, edited_of(window))
    full = window.eig.eig_nats.flatten().quantile(0.99)
    torch.testing.assert_close(weight, (window.eig.eig_nats / full).clamp(max=1.0))
    assert weight.max() == 1.0 and weight.min() < 0.01


def test_bins_are_those_of_the_released_code() -> None:
    gain = torch.tensor([0.0, 0.049, 0.05, 0.19, 0.2, 0.99, 1.0, 100.0])
    torch.testing.assert_close(bin_weight(gain), torch.tensor([0.1, 0.1, 0.3, 0.3, 0.7, 0.7, 1.0, 1.0]))
    window = tiny_window()
    maps = torch.rand(window.render.shape[:3])
    assert torch.equal(edit_weight("published", window, edited_of(window), maps), bin_weight(maps))
    with pytest.raises(InputError, match="published gain"):
        edit_weight("published", window, edited_of(window))
