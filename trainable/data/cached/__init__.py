"""Training and evaluation from the decoded cache of a data set of files."""
