"""Figures of images, clips and uncertainty maps against truth, and their names and units."""
