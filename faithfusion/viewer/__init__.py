"""The viewer: a server draws a scene for browsers, from any camera and at any time, before and after a refinement.
It shows colour, depth, EIG or the expected error."""
