"""The HTTP endpoint of pairing."""
