"""Carries out requests to a running sweep in its driver."""
