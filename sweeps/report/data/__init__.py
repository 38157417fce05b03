"""The data of `report.html` as plain values: one JSON object that the page's script draws from."""
