"""Logs of py123d (github.com/kesai-labs/py123d) as drives; works in py123d's own environment, without torch."""
