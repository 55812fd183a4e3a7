"""Benchmarks of single parts, run by `tools/bench.py PART`."""
