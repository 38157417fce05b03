"""Looks at data before the first training: `own`, data sets of the user's own."""
