"""The search file: its schema, how it is loaded, and its validation."""
