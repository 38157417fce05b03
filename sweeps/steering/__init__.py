"""Requests to a running sweep: stop, pause, retry or add a trial, change settings."""
