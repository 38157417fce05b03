"""One training with its experiment directory, without a sweep."""
