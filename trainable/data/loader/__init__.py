"""Loads batches through torch's `DataLoader`: `batches`, and its `shared_memory`."""
