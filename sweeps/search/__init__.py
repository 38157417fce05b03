"""Suggests hyperparameter values and decides which trial comes next."""
