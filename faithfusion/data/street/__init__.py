"""Procedural streets with exact truth, ray traced on the CPU and written in DriveStudio's layout."""
