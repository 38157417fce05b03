"""`sweep init`: writes a search file and a training config for a data set."""
