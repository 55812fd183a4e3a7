"""The Waymo Open Dataset. `drive_writer` writes this layout."""

from faithfusion.data.layouts.layout import Layout

WAYMO = Layout(
    name="waymo",
    cameras=("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "SIDE_LEFT", "SIDE_RIGHT"),
    image_sizes=((1920, 1280),) * 3 + ((1920, 886),) * 2,
    camera_axes="flu",
    scan_columns=14,  # origin 3, point 3, flow 3, flow class, ground, intensity, elongation, laser
    point_column=3,
    lens="distorted",
)
