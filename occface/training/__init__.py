"""Training: one loop for all methods, its batches, checkpoints and records."""
