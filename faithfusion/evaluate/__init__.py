"""Measures and shows results: metrics, reports, the EIG benchmark and the ablation, a room each."""
