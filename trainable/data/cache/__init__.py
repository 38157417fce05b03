"""Decoded images on disk, shared by all trainings of a machine: `store.open_decoded`."""
