"""Level 4: machine facts, the host probe, workloads, interleaved timing, memory and energy."""
