"""Finds what would make every trial of a sweep fail, before the first one.

`trainable.preflight` checks single training configs; `variants` lists those of a sweep that
differ in what is checked, and `checks` reports their problems in terms of the search file.
"""
