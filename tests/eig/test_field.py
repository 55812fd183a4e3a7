"""EigField: one configuration for everything, calibration, ranking, and a file that comes back whole or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from reference.eig_scene import make_camera, make_scene, make_views

from faithfusion.eig.calibrate import fit_calibration
from faithfusion.eig.config import EigConfig
from faithfusion.eig.field import EigField
from faithfusion.eig.observe import whole_view
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import fit_posterior
from faithfusion.eig.rank import Candidate, rank_views, select_views
from faithfusion.render.render_view import render_view
from faithfusion.scene.scene_file import load_tensors, save_tensors, scene_tensors
from faithfusion.utils.errors import InputError


def photo(shift_m: float, error: float = 0.0) -> torch.Tensor:
    """What the scene looks like from there, too bright by `error`."""
    return (render_view(make_scene(), make_camera(shift_m), 0).color + error).clamp(0.0, 1.0)


def test_maps_are_those_of_the_configuration_that_was_fitted() -> None:
    scene, views, camera = make_scene(), make_views(2), make_camera(0.7)
    means = {}
    for config in (EigConfig(), EigConfig(noise_std=0.2), EigConfig(posterior="diag")):
        field = EigField.fit(scene, views, config)
        gain, rendering = field.map(camera)
        expected, same = eig_map(scene, fit_posterior(scene, views, config), camera, 0)
        assert field.config == config
        assert torch.equal(gain.eig_nats, expected.eig_nats)
        assert torch.equal(rendering.color, same.color)
        means[config] = float(gain.eig_nats.mean())
    default, loud, diagonal = means.values()
    assert loud < 0.7 * default
    assert abs(diagonal / default - 1.0) > 0.01
    with pytest.raises(InputError, match=r"eig.noise_std: 0.2"):
        calm = EigField.fit(scene, views).calibration
        EigField.fit(scene, views, EigConfig(noise_std=0.2), calibration=calm)
    with pytest.raises(InputError, match="block or diag"):
        EigConfig(posterior="full")


def test_the_expected_error_grows_with_the_distance_from_the_views() -> None:
    field = EigField.fit(make_scene(), make_views(2))  # at 0 and 0.4 m
    camera = make_camera(1.5)
    assert field.distance_m(camera) == pytest.approx(1.1)
    found = field.expected_error(camera)
    expected = field.calibration.expected_sq_error(field.map(camera)[0].eig_nats, 1.1).sqrt()
    torch.testing.assert_close(found, expected)
    assert field.expected_error(camera, distance_m=6.0).mean() > field.expected_error(camera, distance_m=0.0).mean()
    assert field.distance_m(make_camera(0.4)) == 0.0
    unseen = EigField(make_scene(), fit_posterior(make_scene(), [], EigConfig()), fit_calibration(None, EigConfig()))
    assert unseen.distance_m(camera) == float("inf")
    assert torch.equal(unseen.expected_error(camera), unseen.expected_error(camera, distance_m=1e6))


def test_withheld_views_say_how_wrong_the_scene_is() -> None:
    scene, views, camera = make_scene(), make_views(2), make_camera(0.7)
    errors = []
    for wrong_by in (0.0, 0.3):
        withheld = [whole_view(make_camera(s), 0, photo(s, wrong_by)) for s in (0.2, 0.6)] * 4
        errors.append(float(EigField.fit(scene, views, withheld=withheld).expected_error(camera).mean()))
    assert errors[1] > 1.5 * errors[0]
    with pytest.raises(InputError, match="withheld view of time index 0: no image"):
        EigField.fit(scene, views, withheld=[whole_view(camera)])


def test_cameras_are_ranked_by_their_position() -> None:
    scene, views = make_scene(), make_views(1)
    field, cameras = EigField.fit(scene, views), [make_camera(s) for s in (0.0, 1.6, 1.6, -1.5)]
    candidates = [Candidate(str(index), camera, 0, 0.0) for index, camera in enumerate(cameras)]
    chosen, alone = field.rank(cameras, 3), field.rank(cameras)
    assert [vars(view) for view in chosen] == [
        vars(view) for view in select_views(scene, field.posterior, candidates, 3)
    ]
    assert [vars(view) for view in alone] == [vars(view) for view in rank_views(scene, field.posterior, candidates)]
    assert [len(chosen), len(alone)] == [3, 4]
    later = dataclasses.replace(candidates[1], time_index=1)  # the node is absent
    assert field.rank([later])[0].gain_nats != alone[0].gain_nats


REFUSALS: dict[str, Callable[[EigField], Any]] = {
    "views: none": lambda field: EigField.fit(field.scene, []),
    "no candidates": lambda field: field.rank([]),
    "number of views: 0; expected at least 1": lambda field: field.rank([make_camera()], 0),
    "number of views: 3; expected at most the 2 there are": lambda field: field.rank([make_camera()] * 2, 3),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_too_few_views_are_refused_in_one_line(message: str) -> None:
    with pytest.raises(InputError, match=rf"^[^\n]*{message}[^\n]*$"):
        REFUSALS[message](EigField.fit(make_scene(), make_views(1)))


@pytest.mark.parametrize("kind", ["block", "diag"])
def test_what_was_saved_comes_back_bit_for_bit(kind: str, tmp_path: Path) -> None:
    withheld = [whole_view(make_camera(0.2), 0, photo(0.2, 0.1))]
    field = EigField.fit(make_scene(), make_views(2), EigConfig(posterior=kind, noise_std=0.05), withheld=withheld)
    field.save(tmp_path / "eig.safetensors")
    found = EigField.load(str(tmp_path / "eig.safetensors"))
    assert found.config == field.config
    assert found.calibration == field.calibration
    for name, tensor in scene_tensors(field.scene).items():
        assert torch.equal(scene_tensors(found.scene)[name], tensor), name
    camera = make_camera(1.0)
    assert torch.equal(found.map(camera)[0].eig_nats, field.map(camera)[0].eig_nats)
    assert torch.equal(found.expected_error(camera), field.expected_error(camera))


def set_nan(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    tensors["posterior.precision"][3, 5] = float("nan")


DAMAGES: dict[str, Callable[[dict[str, torch.Tensor], dict[str, Any]], Any]] = {
    "written as 'faithfusion-eig-field-1'": lambda _, header: header.update(format="faithfusion-scene-1"),
    "precision is not finite": set_nan,
    "posterior.discrepancy": lambda tensors, _: tensors.pop("posterior.sky_discrepancy"),
    "those of a scene": lambda tensors, _: tensors.update(more=torch.zeros(1)),
    "precision of shape": lambda tensors, _: tensors.update(
        {"posterior.precision": tensors["posterior.precision"][:-1]}
    ),
    "sky_precision of shape": lambda tensors, _: tensors.update({"posterior.sky_precision": torch.ones(3, 3)}),
    "a complete scene": lambda tensors, _: tensors.pop("quats"),
    "values of chunk_size": lambda _, header: header["config"].pop("noise_std"),
    "eig.posterior: cube": lambda _, header: header["config"].update(posterior="cube"),
    "numbers and the kind of posterior": lambda _, header: header["config"].update(prior_color="red"),
    "EIG calibration": lambda _, header: header["calibration"].pop("eig_nats"),
    "eig.noise_std": lambda _, header: header["config"].update(noise_std=0.5),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_a_damaged_file_is_refused(message: str, tmp_path: Path) -> None:
    path = tmp_path / "eig.safetensors"
    EigField.fit(make_scene(), make_views(1)).save(path)
    tensors, header = load_tensors(path)
    DAMAGES[message](tensors, header)
    save_tensors(path, tensors, header)
    with pytest.raises(InputError, match=message):
        EigField.load(path)


def test_a_file_that_is_cut_off_or_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "eig.safetensors"
    with pytest.raises(InputError, match="no such file"):
        EigField.load(path)
    EigField.fit(make_scene(), make_views(1)).save(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match="damaged"):
        EigField.load(path)
