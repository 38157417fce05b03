"""Commands for sweeps that run: the web page, and requests."""
