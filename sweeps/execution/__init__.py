"""Runs a sweep on Ray Tune: launch, resume, callbacks, hooks, live view."""
