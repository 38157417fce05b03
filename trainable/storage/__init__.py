"""Object storage and the local mirror of what it holds."""
