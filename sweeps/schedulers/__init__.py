"""Builds Tune schedulers, records their decisions and replays them."""
