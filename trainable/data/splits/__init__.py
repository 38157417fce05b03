"""Splits of a data set: drawn once, recorded, and the same on every machine."""
