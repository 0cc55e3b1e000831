"""Level 0: files, digests, codec, clock, cores and the gate for optional libraries; stdlib only."""
