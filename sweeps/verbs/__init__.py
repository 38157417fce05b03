"""The verbs of the `sweep` command, by what they do."""
