"""Inspection of a data set before a sweep, for `sweep data`."""
