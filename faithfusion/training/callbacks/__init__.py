"""What happens around the steps of a training run: EMA, logging, validation, checkpoints."""
