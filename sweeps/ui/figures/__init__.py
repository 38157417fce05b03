"""Figures of a sweep for Plotly in the browser, as plain dictionaries.

A `plotly.graph_objects.Figure` of 100 curves takes 100 times as long to build and to serialise.
Text and grid lines are coloured by the page's style sheet, so that a figure suits light and dark.
"""
