"""Connection to Ray: start, placement, GPU workers, code upload, jobs."""
