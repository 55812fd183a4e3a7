"""The viewer in the browser: free camera, shift, time, colour, depth, EIG, before and after."""
