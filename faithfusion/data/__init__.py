"""Recorded drives: readers of every layout and camera file, and what is asked of them: images, masks, LiDAR, splits.
Trajectories beside the recorded path live here too, with what stands in their way."""
