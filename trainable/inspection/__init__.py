"""What `sweep data` shows of a data set before a sweep."""
