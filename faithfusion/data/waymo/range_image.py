"""Range images to points, as waymo-open-dataset's `utils/range_image_utils.py` defines them.

Row i of an image is one beam, column j one direction of the turning sensor. With W columns and the sensor's yaw c on
the vehicle, a pixel's azimuth in the sensor's frame is pi (2 (W - j - 1/2) / W - 1) - c. Inclinations are stored from
the lowest beam upwards, images from the highest downwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from faithfusion.data.calibration_text import invert_rigid


@dataclass(frozen=True)
class Beams:
    """How one LiDAR sits on the vehicle and how its beams point."""

    vehicle_from_lidar: Float[np.ndarray, "4 4"]
    lowest_rad: float
    highest_rad: float
    inclinations_rad: Float[np.ndarray, " h"] | None  # from the lowest beam upwards; None: evenly spaced

    def of_rows(self, num_rows: int) -> Float[np.ndarray, " h"]:
        """Inclination of every image row, the highest beam first."""
        if self.inclinations_rad is not None:
            return self.inclinations_rad[::-1]
        share = (np.arange(num_rows) + 0.5) / num_rows
        return (self.lowest_rad + share * (self.highest_rad - self.lowest_rad))[::-1]


@dataclass(frozen=True)
class Returns:
    """LiDAR returns in the vehicle frame of their time stamp, metres."""

    origins: Float[np.ndarray, "n 3"]
    points: Float[np.ndarray, "n 3"]
    intensity: Float[np.ndarray, " n"]
    elongation: Float[np.ndarray, " n"]


def decode(
    image: Float[np.ndarray, "h w c"],
    beams: Beams,
    pixel_poses: Float[np.ndarray, "h w 6"] | None = None,
    world_from_vehicle: Float[np.ndarray, "4 4"] | None = None,
) -> Returns:
    """Returns of a range image with channels range (m; nothing where it is not positive), intensity, elongation, ...

    `pixel_poses` are roll, pitch, yaw, x, y, z of the vehicle in the world when each pixel was measured: the vehicle
    drives on while the sensor turns. With them points are moved to the vehicle frame of `world_from_vehicle`.
    """
    height, width = image.shape[:2]
    row, column = np.nonzero(image[..., 0] > 0)
    yaw = np.arctan2(beams.vehicle_from_lidar[1, 0], beams.vehicle_from_lidar[0, 0])
    azimuth = np.pi * (2.0 * (width - column - 0.5) / width - 1.0) - yaw
    inclination = beams.of_rows(height)[row]
    distance = image[row, column, 0].astype(np.float64)
    flat = distance * np.cos(inclination)
    points = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), distance * np.sin(inclination)], -1)
    points = points @ beams.vehicle_from_lidar[:3, :3].T + beams.vehicle_from_lidar[:3, 3]
    origins = np.broadcast_to(beams.vehicle_from_lidar[:3, 3], points.shape)
    if pixel_poses is not None and world_from_vehicle is not None:
        rotations, centres = rotation_matrices(pixel_poses[row, column].astype(np.float64))
        vehicle_from_world = invert_rigid(world_from_vehicle)
        # the turn and the shift between the two vehicle poses, without the world's large coordinates
        turn = vehicle_from_world[:3, :3] @ rotations
        shift = (centres - world_from_vehicle[:3, 3]) @ world_from_vehicle[:3, :3]
        points, origins = (np.einsum("nij,nj->ni", turn, at) + shift for at in (points, origins))
    return Returns(origins, points, image[row, column, 1], image[row, column, 2])


def rotation_matrices(poses: Float[np.ndarray, "n 6"]) -> tuple[Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]]:
    """(rotations R_z(yaw) R_y(pitch) R_x(roll), centres) of poses roll, pitch, yaw, x, y, z."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(poses[:, :3]).T, np.sin(poses[:, :3]).T
    rows = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    return np.moveaxis(np.array(rows), -1, 0), poses[:, 3:]
