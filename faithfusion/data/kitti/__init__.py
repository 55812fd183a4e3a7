"""KITTI raw (Geiger, Lenz, Stiller, Urtasun: Vision meets Robotics, 2013) to a drive."""
