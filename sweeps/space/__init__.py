"""The search space: parameters, distributions, expressions and sampling."""
