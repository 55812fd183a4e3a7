"""The ladder of recorded drives with two cameras: one camera is fitted, the other one's pictures are the truth, and
every stage of a run gets the figures that it can be blamed for."""
