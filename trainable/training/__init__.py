"""Trains a model: step, epoch loop, loss, seeds, CUDA graphs, compilation."""
