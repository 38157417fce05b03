"""The Python API. Its names are imported from `sweeps`, which loads these modules when needed."""
