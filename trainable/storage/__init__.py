"""Object storage, and local mirrors of its directories."""
