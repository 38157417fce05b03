"""Measures what a training costs, alone and next to others."""
