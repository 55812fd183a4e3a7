"""A run in the browser: what is in its folder, what is asked for, the picture of it, and the server."""
