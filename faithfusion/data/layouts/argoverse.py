"""Argoverse 2, sensor data set."""

from faithfusion.data.layouts.layout import Layout

ARGOVERSE = Layout(
    name="argoverse",
    cameras=tuple(f"ring_{place}" for place in ("front_center", "front_left", "front_right", "side_left", "side_right",
                                                "rear_left", "rear_right")),
    image_sizes=((1550, 2048),) + ((2048, 1550),) * 6,
    scan_columns=4,  # point 3, intensity
)  # fmt: skip
