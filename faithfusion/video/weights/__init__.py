"""Weights on disk: public Wan2.1, VACE and UMT5 in three layouts, prompts, and this project's own files.
Every name and shape is checked before anything is read."""
