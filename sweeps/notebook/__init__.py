"""A sweep as HTML in a notebook, without JavaScript."""
