from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from reference.eig_scene import make_camera

from faithfusion.data.posed_camera import PosedCamera
from faithfusion.data.user_cameras import camera_of_file, cameras_from_gsplat, cameras_from_nerfstudio
from faithfusion.utils.errors import InputError

K = torch.tensor([[[30.0, 0.0, 20.7], [0.0, 32.0, 13.1], [0.0, 0.0, 1.0]]])


def test_gsplat_and_nerfstudio_mean_the_same_camera() -> None:
    camera = make_camera(0.7)
    opengl = camera.world_from_camera @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    intrinsics = camera.intrinsics[None]
    size = (camera.width, camera.height)
    found = [
        *cameras_from_gsplat(camera.camera_from_world[None], intrinsics, *size),
        *cameras_from_nerfstudio(opengl[None], intrinsics, *size),
        *cameras_from_nerfstudio(opengl[None, :3], intrinsics, *size),
    ]
    assert len(found) == 3
    for one in found:
        torch.testing.assert_close(one.world_from_camera, camera.world_from_camera)
        assert torch.equal(one.intrinsics, camera.intrinsics)
        assert (one.width, one.height) == size


def test_a_nerfstudio_camera_looks_along_its_negative_z_with_y_up() -> None:
    (camera,) = cameras_from_nerfstudio(torch.eye(4)[None], K, 40, 27)
    point = camera.camera_from_world @ torch.tensor([1.0, 1.0, -5.0, 1.0])
    x, y, _ = camera.intrinsics @ point[:3] / point[2]
    assert point[2] == 5.0
    assert float(x) == pytest.approx(20.7 + 30.0 / 5)  # to the right
    assert float(y) == pytest.approx(13.1 - 32.0 / 5)  # above the centre


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("viewmats", "intrinsics", "message"),
    [
        (2.0 * torch.eye(4)[None], K, "pose of camera 0: not rigid"),
        (torch.eye(4), K, "one 4 x 4 matrix"),
        (torch.eye(4)[None, :3], K, "3 rows"),
        (torch.eye(4)[None], K[:, :2], "shape"),
        (torch.eye(4)[None], K * torch.tensor([-1.0, 1.0, 1.0])[:, None], "intrinsics of camera 0"),
        (torch.eye(4)[None], K + torch.eye(3).roll(1, 1), "intrinsics of camera 0"),
    ],
)
def test_what_is_no_pinhole_camera_is_refused(viewmats: torch.Tensor, intrinsics: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cameras_from_gsplat(viewmats, intrinsics, 40, 27)


def test_a_camera_of_a_file_is_scaled_with_its_picture() -> None:
    posed = PosedCamera("a.png", 80, 60, (100.0, 90.0, 41.0, 29.0, 0.0, 0.0, 0.0, 0.0, 0.0), np.eye(4))
    camera = camera_of_file(posed, 40)
    assert (camera.width, camera.height) == (40, 30)
    assert camera.intrinsics.tolist() == [[50.0, 0.0, 20.5], [0.0, 45.0, 14.5], [0.0, 0.0, 1.0]]
    bent = dataclasses.replace(posed, pinhole=(*posed.pinhole[:4], 0.1, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="undistorted pictures"):
        camera_of_file(bent, 40)
