"""GPU execution: CUDA graphs, compiled models, waiting for a stream."""
