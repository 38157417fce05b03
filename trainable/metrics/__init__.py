"""Measures the config's `metrics` on a pass over a split.

`collector` keeps the logits of a pass, or counts where they would need too much memory, and
computes everything once at its end. `confusion` has the metrics of the confusion matrix, `ranking`
those of the order of the probabilities, `own` those of the user's code.
"""
