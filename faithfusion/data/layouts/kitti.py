"""KITTI raw. Its ego is the LiDAR."""

from faithfusion.data.layouts.layout import Layout

KITTI = Layout(
    name="kitti",
    cameras=("CAM_LEFT", "CAM_RIGHT"),
    image_sizes=((1242, 375),) * 2,
    scan_columns=4,  # point 3, reflectance; its ego is the LiDAR
)
