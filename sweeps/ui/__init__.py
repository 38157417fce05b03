"""`sweep ui`: a local web page that shows sweeps and sends requests to them."""
