"""nuPlan."""

from faithfusion.data.layouts.layout import Layout

NUPLAN = Layout(
    name="nuplan",
    cameras=("CAM_F0", "CAM_L0", "CAM_R0", "CAM_L1", "CAM_R1", "CAM_L2", "CAM_R2", "CAM_B0"),
    image_sizes=((1920, 1080),) * 8,
    scan_columns=6,  # point 3, intensity, ring, LiDAR
    lens="distorted",
)
