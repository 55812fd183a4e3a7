"""PandaSet. Its LiDAR, and with it its ego pose and its boxes, has x right, y forward, z up (OpenPCDet,
`pcdet/datasets/pandaset/pandaset_dataset.py`)."""

from faithfusion.data.layouts.layout import Layout

PANDASET = Layout(
    name="pandaset",
    cameras=tuple(f"{place}_camera" for place in ("front", "front_left", "front_right", "left", "right", "back")),
    image_sizes=((1920, 1080),) * 6,
    extrinsics_per_frame=True,
    body_axes="rfu",
    scan_columns=5,  # point 3, intensity, LiDAR (0 spinning, 1 forward)
)
