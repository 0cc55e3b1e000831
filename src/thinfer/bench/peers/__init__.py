"""Other ways to run the same model, beside which `bench` puts a bundle; one file a library."""

from thinfer.bench.peers.table import PEERS, open_peer

__all__ = ["PEERS", "open_peer"]
