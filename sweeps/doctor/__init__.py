"""`sweep doctor`: what this machine has and lacks to run a sweep."""
