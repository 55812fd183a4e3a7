"""Measures and shows results: metrics, driving metrics, reports, the EIG benchmark and the ablation, a room each."""
