"""Checks a drive for faults that parse fine, and draws what was understood of it."""
