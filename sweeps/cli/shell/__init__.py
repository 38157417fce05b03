"""Completion of command lines by a shell: fast, so without importing the commands themselves."""
