"""The single-image fixer (the role of Difix3D+): the one on public weights, its files and its editor.
One image in, one image out, one evaluation."""
