"""Commands about a new sweep, this machine and this shell: init, doctor and completion."""
