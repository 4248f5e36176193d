"""Content-addressed bytes: put, open, verify, heal."""
