"""The Gaussian scene graph: its first Gaussians, density control, ground, sky, people, and files of every system.
Parameters only; drawing them is the task of `render`."""
