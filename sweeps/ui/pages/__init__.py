"""Pages of `sweep ui`, each with a layout and its callbacks."""
