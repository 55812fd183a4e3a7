"""The single-image fixer (the role of Difix3D+): its networks, its files and its editor.
One image in, one image out, one evaluation."""
