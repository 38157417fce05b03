"""A training as a Ray Tune trial, in a process of its own or in one that trials share."""
