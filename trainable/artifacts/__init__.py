"""The files of a training: checkpoint, metrics, TensorBoard, trial log."""
