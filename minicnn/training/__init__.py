"""Training: what `compile` was told, where batches come from, what an iteration is, the loop."""
