"""Sweeps in object storage, and the lock on a sweep."""
