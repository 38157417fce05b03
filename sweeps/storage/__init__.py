"""Object storage and locks on the driver's side."""
