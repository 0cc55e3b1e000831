"""Level 5: contenders and peers, interleaved tables, open-loop HTTP load."""
