from __future__ import annotations

import math

import pytest
import torch

from faithfusion.utils.errors import InputError
from faithfusion.utils.image_math import psnr_db
from faithfusion.video.editing.composite import (
    ErrorProfile,
    MeasuredErrors,
    composite,
    even_places,
    faithful_floor,
    fused_error,
    kalman_gain,
    measure_profile,
    measured_errors,
)
from faithfusion.video.editing.editor_config import CompositeConfig

SHAPE = (3, 20, 30)


def fuse(render: torch.Tensor, edit: torch.Tensor, sq_error: torch.Tensor, profile: ErrorProfile) -> torch.Tensor:
    return composite(render, edit, kalman_gain(sq_error, profile, faithful_floor(sq_error, CompositeConfig())))


@pytest.mark.parametrize("worst_exponent", [-6, -4, -2])
def test_an_adversarial_editor_cannot_touch_the_best_known_tenth(worst_exponent: int) -> None:
    sq_error = torch.logspace(worst_exponent - 2, worst_exponent, math.prod(SHAPE)).reshape(SHAPE)
    render = torch.rand(*SHAPE, 3)
    edit = (render < 0.5).float()  # as far from the render as colours allow
    output = fuse(render, edit, sq_error, ErrorProfile())
    best = sq_error <= sq_error.flatten().quantile(0.1)
    assert psnr_db(output, render, best) >= 45.0
    assert torch.equal(output[best], render[best])
    if worst_exponent == -2:
        assert psnr_db(output, render, sq_error > 5e-3) < 20.0


def test_nothing_changes_below_one_grey_level() -> None:
    sq_error = torch.full(SHAPE, (0.9 / 255) ** 2)
    render = torch.rand(*SHAPE, 3)
    assert torch.equal(fuse(render, 1 - render, sq_error, ErrorProfile()), render)


def test_an_unknown_clip_is_regenerated_everywhere() -> None:
    sq_error = torch.full(SHAPE, 0.25)
    gain = kalman_gain(sq_error, ErrorProfile(), faithful_floor(sq_error, CompositeConfig()))
    torch.testing.assert_close(gain, torch.full(SHAPE, 0.25 / 0.26))


def test_fusion_beats_both_sensors_when_their_errors_are_as_stated() -> None:
    truth = torch.full((4, 100, 100, 3), 0.5)
    sq_error = torch.logspace(-3, -1, 40_000)[torch.randperm(40_000)].reshape(4, 100, 100)
    render = truth + sq_error.sqrt()[..., None] * torch.randn_like(truth)
    edit = truth + 0.1 * torch.randn_like(truth)
    fused = (fuse(render, edit, sq_error, ErrorProfile()) - truth).square().mean()
    assert fused < 0.9 * min((render - truth).square().mean(), (edit - truth).square().mean())
    expected = (sq_error * 0.01 / (sq_error + 0.01)).mean()
    assert fused == pytest.approx(float(expected), rel=0.05)


def test_profile_interpolates_in_log_v_and_is_constant_outside() -> None:
    profile = ErrorProfile((1e-4, 1e-3, 1e-2, 1e-1), (0.001, 0.003, 0.02))
    centres = torch.tensor([10**-3.5, 10**-2.5, 10**-1.5])
    torch.testing.assert_close(profile.editor_error(centres), torch.tensor([0.001, 0.003, 0.02]))
    torch.testing.assert_close(profile.editor_error(torch.tensor([1e-3, 0.0, 1.0])), torch.tensor([0.002, 0.001, 0.02]))


def errors_of(sq_error: torch.Tensor, editor: torch.Tensor, correlation: float = 0.0) -> MeasuredErrors:
    """Measured exactly as expected."""
    return MeasuredErrors(sq_error, sq_error, editor, correlation * (sq_error * editor).sqrt())


def test_measured_profile_recovers_the_editors_error_and_survives_plateaus() -> None:
    sq_error = torch.logspace(-5, -1, 20_000)
    sq_error[:6000] = 1e-5  # isotonic calibration makes plateaus
    editor = 0.002 + 0.1 * sq_error
    parts = [errors_of(sq_error[part], editor[part], 0.6) for part in (slice(0, 9000), slice(9000, None))]
    profile = measure_profile(parts, num_bins=20)
    probe = torch.logspace(-3.5, -1.5, 9)
    torch.testing.assert_close(profile.editor_error(probe), 0.002 + 0.1 * probe, rtol=0.05, atol=0)
    expected = 0.6 * (probe * (0.002 + 0.1 * probe)).sqrt()
    torch.testing.assert_close(profile.covariance(probe), expected, rtol=0.05, atol=0)
    flat = measure_profile([errors_of(torch.full((10,), 0.01), torch.full((10,), 0.004))])
    assert float(flat.editor_error(torch.tensor(0.01))) == pytest.approx(0.004)


def test_the_editors_share_of_the_error_is_measured_where_calibration_is_off() -> None:
    """The render is four times as wrong as expected, the edit half as wrong as the render."""
    sq_error = torch.logspace(-4, -1, 5000)
    clip = MeasuredErrors(sq_error, 4.0 * sq_error, 2.0 * sq_error, 2.5 * sq_error)
    profile = measure_profile([clip], num_bins=40)
    probe = torch.logspace(-3, -2, 5)
    torch.testing.assert_close(profile.editor_error(probe), 0.5 * probe, rtol=0.15, atol=0)
    torch.testing.assert_close(profile.covariance(probe), 2.5 / 4.0 * probe, rtol=0.15, atol=0)


def test_errors_of_a_clip_by_hand() -> None:
    expected, (render, edit, truth) = torch.rand(2, 4, 5), torch.rand(3, 2, 4, 5, 3)
    found = measured_errors(expected, render, edit, truth)
    pixel, place = (1, 2, 3), 1 * 20 + 2 * 5 + 3
    a, b = render[pixel] - truth[pixel], edit[pixel] - truth[pixel]
    assert float(found.expected_sq_error[place]) == float(expected[pixel])
    assert float(found.render_sq_error[place]) == pytest.approx(float(a @ a) / 3)
    assert float(found.editor_sq_error[place]) == pytest.approx(float(b @ b) / 3)
    assert float(found.product[place]) == pytest.approx(float(a @ b) / 3)


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("editor", [0.002, 0.01, 0.05])
def test_the_gain_is_the_best_weight_of_errors_that_go_together(correlation: float, editor: float) -> None:
    render = 0.01
    profile = ErrorProfile((1e-6, 1.0), (editor,), (correlation,))
    sq_error = torch.full((1, 1, 1), render)
    gain = kalman_gain(sq_error, profile, floor=1e-6)
    shared = correlation * math.sqrt(render * editor)
    weights = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    left = (1 - weights) ** 2 * render + 2 * weights * (1 - weights) * shared + weights**2 * editor
    assert float(gain) == pytest.approx(float(weights[left.argmin()]), abs=2e-4)
    assert float(fused_error(sq_error, profile, gain)) == pytest.approx(float(left.min()), rel=1e-4)


def test_fusion_of_an_editor_that_repairs_the_render_is_the_edit() -> None:
    """Its error is what is left of the render's: averaging both would bring the rest back."""
    truth = torch.rand(2, 50, 50, 3)
    render = truth + 0.1 * torch.randn_like(truth)
    edit = torch.lerp(truth, render, 0.5)
    sq_error = torch.full((2, 50, 50), 0.01)
    profile = measure_profile([measured_errors(sq_error, render, edit, truth)])
    torch.testing.assert_close(fuse(render, edit, sq_error, profile), edit, atol=0.01, rtol=0)


def test_quantiles_of_more_pixels_than_float32_counts() -> None:
    places = even_places(36_126_720, 10)
    assert (places[0], places[5], places[-1]) == (0, 18_063_359, 36_126_719) and len(places) == 11


def test_bad_profiles_are_refused() -> None:
    for edges, errors in (((1e-3,), (0.1,)), ((1e-2, 1e-3), (0.1,)), ((1e-3, 1e-2), (0.0,)), ((0.0, 1.0), (0.1,))):
        with pytest.raises(InputError, match="error profile"):
            ErrorProfile(edges, errors)
    for correlation in ((0.1, 0.2), (1.5,)):
        with pytest.raises(InputError, match="correlation"):
            ErrorProfile((1e-3, 1e-2), (0.1,), correlation)
    with pytest.raises(InputError, match="no validation pixels"):
        measure_profile([])
