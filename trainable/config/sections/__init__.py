"""The sections of the training config, a module for each or for a few small ones."""
