"""Watch a run of a sweep: the live view, the user's commands and the user's callbacks."""
