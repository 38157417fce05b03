"""Finds what would make every training of a config fail, before the first one.

`paths` and `shapes` look at files and at known shapes only. `model` and `resume` build the model
or read a checkpoint, and need torch. `checks` combines them.
"""
