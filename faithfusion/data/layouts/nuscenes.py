"""nuScenes. It stores no ego pose: the ego is put where the front camera is, axes turned to x forward, z up."""

from faithfusion.data.layouts.layout import Layout

NUSCENES = Layout(
    name="nuscenes",
    cameras=("CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK_RIGHT", "CAM_BACK"),
    image_sizes=((1600, 900),) * 6,
    extrinsics_per_frame=True,
    ego_pose=False,
    scan_columns=4,  # point 3, intensity
    scan_pose=True,
)
