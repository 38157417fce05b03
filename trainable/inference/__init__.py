"""Describes and exports trained models."""
