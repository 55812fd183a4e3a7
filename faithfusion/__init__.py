"""FaithFusion: lane-shift videos and Gaussian scenes joined by pixel-wise expected information gain."""

__version__ = "0.1.0"
