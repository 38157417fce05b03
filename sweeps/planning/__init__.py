"""Predictions before a sweep runs: trials, epochs, time, disk, GPU sharing."""
