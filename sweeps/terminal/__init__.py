"""Prints to the terminal and formats numbers, sizes and durations."""
