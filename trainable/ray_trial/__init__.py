"""One training as a Ray Tune trial, alone in its process or in a shared one."""
