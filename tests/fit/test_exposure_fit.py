"""Exposure of pictures found from the pictures; time stamps that were kept back lie between their neighbours."""

import dataclasses

import pytest
import torch
from reference.cloud import make_camera, make_gaussians

from faithfusion.fit.fit_config import ExposureConfig, OptimiserConfig, RecordingConfig
from faithfusion.fit.fitted_exposure import FittedExposure
from faithfusion.fit.optimiser import SceneOptimiser
from faithfusion.fit.recording import Rig
from faithfusion.fit.supervised_view import SupervisedView
from faithfusion.render.render_view import render_view
from faithfusion.types import Exposure, GaussianScene, Sky
from faithfusion.utils.errors import InputError

FROZEN = OptimiserConfig(means_lr=0.0, quats_lr=0.0, scales_lr=0.0, opacities_lr=0.0, colors_lr=0.0, sky_lr=0.0)


def test_an_adapting_camera_is_followed_and_a_steady_one_left_alone() -> None:
    gaussians = make_gaussians(200, opacity_logit=1.0)
    scene = GaussianScene(gaussians, torch.zeros(200, dtype=torch.long), (), Sky(torch.full((8, 16, 3), 0.4)))
    ramp = torch.linspace(-0.15, 0.15, 5)[:, None].expand(5, 3)
    true = Exposure(("0", "1"), torch.stack([ramp, torch.zeros(5, 3)]), torch.zeros(2, 5, 3))
    views = []
    for name in ("0", "1"):
        camera = dataclasses.replace(make_camera(40, 30), name=name)
        for t in (0, 1, 3, 4):  # 2 is kept back
            picture = render_view(dataclasses.replace(scene, exposure=true), camera, t).color.detach()
            views.append(SupervisedView(camera, t, picture, torch.ones(30, 40), is_recorded=True))
    config = ExposureConfig(knot_frames=4, gain_lr=5e-3, prior_weight=0.01)
    recording = RecordingConfig(None, config, None)
    optimiser = SceneOptimiser(
        scene,
        FROZEN,
        num_steps=700,
        extent_m=1.0,
        recording=recording,
        rig=Rig(("0", "1"), torch.eye(4).repeat(5, 1, 1)),
    )
    for step in range(320):
        optimiser.step(views[step % 8])
    found = optimiser.scene().exposure
    torch.testing.assert_close(found.log_gains.detach(), true.log_gains, atol=0.02, rtol=0)
    assert (found.offsets == 0).all()


def test_without_data_the_prior_pulls_to_one_exposure() -> None:
    fitted = FittedExposure(("0",), 9, ExposureConfig(knot_frames=4, prior_weight=2.0))
    gains = fitted.parameters["exposure_gains"]
    gains.data += 0.3
    assert fitted.exposure().log_gains.shape == (1, 9, 3)
    assert float(fitted.prior_loss().detach()) == pytest.approx(2.0 * 0.09)
    fitted.prior_loss().backward()
    assert (gains.grad > 0).all()


def test_no_time_between_knots_is_refused() -> None:
    with pytest.raises(InputError, match="exposure.knot_frames"):
        ExposureConfig(knot_frames=0)
