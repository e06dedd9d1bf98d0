"""The pure decisions of pairing: observations go in, the next step comes out."""
