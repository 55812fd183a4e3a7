"""How well EIG knows the true error beside the recorded path: benchmark, figures, curves of calibration."""
