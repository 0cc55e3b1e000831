"""Level 5: the HTTP service; adaptive batching, honest counters, a stop that loses nothing."""
