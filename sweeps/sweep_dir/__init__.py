"""File names and records of a sweep directory, and its event log."""
