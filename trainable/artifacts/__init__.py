"""Files that a training writes: checkpoints, metrics, TensorBoard events, trial log."""
