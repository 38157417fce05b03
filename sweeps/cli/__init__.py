"""The `sweep` command: one module for each verb or group of verbs."""
