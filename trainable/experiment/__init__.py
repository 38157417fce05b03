"""The experiment directory of a training, and training without a sweep."""
