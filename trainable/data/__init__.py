"""Data sets: reading, splitting, augmenting. This package itself imports no torch."""
