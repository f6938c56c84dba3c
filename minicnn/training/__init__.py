"""Training: what `compile` was told, where batches come from, the step, the loop."""
