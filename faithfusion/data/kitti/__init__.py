"""KITTI raw folders to a drive."""
