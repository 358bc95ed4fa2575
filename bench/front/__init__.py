"""What `peers.py` does outside the peers' environment: only the standard library is needed here."""
