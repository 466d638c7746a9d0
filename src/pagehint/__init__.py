"""Free page hinting in Python: what a guest could give back to its host, and real memory that does it."""
