"""Waymo Open Dataset v2 (perception, parquet) to a drive, without TensorFlow; see docs/data.md."""
