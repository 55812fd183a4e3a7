"""Callbacks around the steps of a training run: moving average, log, validation and checkpoints."""
