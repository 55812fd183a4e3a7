"""A picture is what the renderer, EIG and the recorded images say, from the camera that was asked for."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from faithfusion.data.images import load_image
from faithfusion.data.trajectories import distance_from_path_m, shifted_cameras
from faithfusion.eig.field import EigField
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.render.render_view import render_view
from faithfusion.street.truth import load_truth
from faithfusion.types import Camera
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import to_uint8
from faithfusion.viewer.knowledge import learn
from faithfusion.viewer.render import FAR_M, draw
from faithfusion.viewer.run_folder import Run
from faithfusion.viewer.scales import SCALES, bar_html, colorize
from faithfusion.viewer.state import RECORDED, FreeView, ViewState, pose_from_quaternion
from faithfusion.viewer.view_cameras import SURROUND, seen_by, surround, vertical_fov_rad, view_camera

STATE = ViewState("after", "colour", 2, "1", 0.0, (64, 48))
OFF_CENTRE = Camera(torch.tensor([[50.0, 0, 20], [0, 40, 30], [0, 0, 1]]), torch.eye(4), 64, 48)


@pytest.fixture(scope="module")
def known(run: Run) -> dict[str, EigField]:
    return {name: learn(run, name) for name in run.versions}


def shown(run: Run, known: dict[str, EigField] | None = None, **changes: object) -> np.ndarray:
    return draw(run, dataclasses.replace(STATE, **changes), 64, known or {}).image


@pytest.mark.parametrize("shift_m", [-2.5, 0.0, 3.0])
def test_the_slider_moves_the_camera_as_a_shifted_drive_does(run: Run, shift_m: float) -> None:
    for t, expected in enumerate(shifted_cameras(run.clip, "1", shift_m)):
        camera = view_camera(run.clip, dataclasses.replace(STATE, time_index=t, shift_m=shift_m), 64)
        assert torch.equal(camera.world_from_camera, expected.world_from_camera)
        torch.testing.assert_close(camera.intrinsics, expected.intrinsics)
        assert (camera.width, camera.height) == (64, 48)
    with pytest.raises(InputError, match="12"):
        view_camera(run.clip, dataclasses.replace(STATE, shift_m=12.0), 64)


@pytest.mark.parametrize("version", ["before", "after"])
def test_colours_are_the_renderers(run: Run, version: str) -> None:
    camera = shifted_cameras(run.clip, "1", 1.5)[2]
    with torch.no_grad():
        expected = to_uint8(render_view(run.versions[version].scene, camera, 2).color)
    assert np.abs(shown(run, version=version, shift_m=1.5).astype(int) - expected).max() <= 1
    assert np.abs(shown(run, version="before").astype(int) - shown(run, version="after")).mean() > 5


def test_depth_is_the_renderers_and_says_where_there_is_none(run: Run) -> None:
    picture = draw(run, dataclasses.replace(STATE, quantity="depth"), 64, {})
    with torch.no_grad():
        rendering = render_view(run.versions["after"].scene, run.clip.frame(2, "1").camera, 2)
    solid = rendering.alpha > 0.5
    assert 0.2 < solid.float().mean() < 1.0
    torch.testing.assert_close(picture.depth_m[solid], rendering.depth[solid], rtol=1e-3, atol=1e-3)
    assert (picture.depth_m[~solid] == FAR_M).all()
    assert (picture.image[~solid.numpy()] == 102).all()  # grey, not the colour of far away
    expected = to_uint8(colorize(rendering.depth, SCALES["depth"]))[solid.numpy()]
    assert np.abs(picture.image[solid.numpy()].astype(int) - expected).max() <= 6  # one entry of the colour table


def test_eig_and_expected_error_are_those_of_the_scene(run: Run, known: dict[str, EigField]) -> None:
    camera, version = shifted_cameras(run.clip, "1", 2.0)[2], run.versions["after"]
    assessment = known["after"]
    with torch.no_grad():
        gain, _ = eig_map(version.scene, assessment.posterior, camera, 2)
    eig = draw(run, dataclasses.replace(STATE, quantity="EIG", shift_m=2.0), 64, known)
    torch.testing.assert_close(eig.values, gain.eig_nats, rtol=1e-3, atol=1e-3)
    assert (eig.values >= 0).all() and 0.1 < float(eig.values.mean()) < 50
    error = draw(run, dataclasses.replace(STATE, quantity="expected error", shift_m=2.0), 64, known)
    distance_m = distance_from_path_m(version.fitted, camera)
    assert 1.0 < distance_m < 2.1
    expected = assessment.calibration.expected_sq_error(gain.eig_nats, distance_m).sqrt()
    torch.testing.assert_close(error.values, expected, rtol=1e-3, atol=1e-4)
    assert np.array_equal(error.image, to_uint8(colorize(error.values, SCALES["expected error"])))


def test_colours_stand_in_until_the_posterior_is_there(run: Run) -> None:
    picture = draw(run, dataclasses.replace(STATE, quantity="EIG"), 64, {})
    assert picture.values is None and "posterior" in picture.note
    assert np.array_equal(picture.image, shown(run))


def test_a_camera_moved_by_hand_to_the_same_place_sees_the_same(run: Run) -> None:
    camera = view_camera(run.clip, dataclasses.replace(STATE, shift_m=1.0), 64)
    free = FreeView(tuple(camera.world_from_camera.flatten().tolist()), vertical_fov_rad(camera))
    by_hand = shown(run, free=free, shift_m=5.0).astype(int)
    assert np.abs(by_hand - shown(run, shift_m=1.0)).max() <= 2
    assert np.abs(by_hand - shown(run, shift_m=5.0)).mean() > 2


def test_a_pose_from_the_browser_is_read_as_opencv_axes() -> None:
    half = math.sqrt(0.5)
    pose = np.reshape(pose_from_quaternion((half, 0.0, 0.0, half), (1, 2, 3)), (4, 4))  # 90 degrees about z
    np.testing.assert_allclose(pose, [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]], atol=1e-12)


def test_recorded_and_true_images_are_shown_where_there_are_any(run: Run) -> None:
    recorded = to_uint8(load_image(run.clip.frame(2, "1")))
    assert np.abs(shown(run, version=RECORDED).astype(int) - recorded).max() <= 1
    true = to_uint8(load_truth(run.clip.root, 1.0, "0", 2).color)
    assert np.abs(shown(run, version=RECORDED, shift_m=1.0, camera_name="0").astype(int) - true).max() <= 1
    nothing = draw(run, dataclasses.replace(STATE, version=RECORDED, shift_m=0.5), 64, {})
    assert "no image" in nothing.note and nothing.image.std() == 0


@pytest.mark.parametrize("canvas", [(64, 48), (200, 50), (50, 200)])
def test_the_canvas_shows_the_whole_image_and_no_more_than_it_must(canvas: tuple[int, int]) -> None:
    camera = surround(OFF_CENTRE, canvas)
    corners = torch.tensor([[x, y, 1.0] for x in (0.0, 64.0) for y in (0.0, 48.0)])
    pixels = (corners @ torch.linalg.inv(OFF_CENTRE.intrinsics).T) @ camera.intrinsics.T
    inside = torch.cat([pixels[:, 0] / canvas[0], pixels[:, 1] / canvas[1]])
    assert inside.min() > -1e-6 and inside.max() < 1 + 1e-6
    assert min(float(inside.min()), 1 - float(inside.max())) < 1e-6  # it touches an edge
    assert float(camera.intrinsics[0, 0]) == float(camera.intrinsics[1, 1])


def test_pixels_of_an_image_land_where_their_rays_go() -> None:
    image = torch.rand(48, 64, 3)
    camera = surround(OFF_CENTRE, (90, 60)).resized(45, 30)
    warped = seen_by(camera, OFF_CENTRE, image)
    inverse = torch.linalg.inv(camera.intrinsics.double())
    compared = 0
    for row in range(0, 30, 4):
        for column in range(0, 45, 4):
            ray = inverse @ torch.tensor([column + 0.5, row + 0.5, 1.0], dtype=torch.float64)
            u, v = (OFF_CENTRE.intrinsics.double() @ ray)[:2].tolist()
            x, y = math.floor(u - 0.5), math.floor(v - 0.5)
            if not (0 <= x < 63 and 0 <= y < 47):
                outside = u < -0.5 or v < -0.5 or u > 64.5 or v > 48.5
                assert not outside or torch.allclose(warped[row, column], torch.full((3,), SURROUND))
                continue
            right, down = u - 0.5 - x, v - 0.5 - y
            top = image[y, x] * (1 - right) + image[y, x + 1] * right
            bottom = image[y + 1, x] * (1 - right) + image[y + 1, x + 1] * right
            torch.testing.assert_close(warped[row, column], top * (1 - down) + bottom * down, rtol=1e-3, atol=1e-3)
            compared += 1
    assert compared > 20


def test_the_bar_says_what_the_colours_mean() -> None:
    html = bar_html("EIG")
    assert "nats" in html and ">0<" in html and ">8<" in html and "#000004" in html
    assert bar_html("colour") == ""
