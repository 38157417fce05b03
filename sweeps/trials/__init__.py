"""The trial as Tune sees it, its failures and retries, and the pause protocol."""
