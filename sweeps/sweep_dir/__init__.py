"""File names, records and the event log of a sweep directory."""
