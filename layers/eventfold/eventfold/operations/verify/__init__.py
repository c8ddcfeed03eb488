"""Proof that streams are unbroken, and snapshots, rows and counters what the events make."""
