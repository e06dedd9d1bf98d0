"""The pure decisions of cluster keys: observations go in, the next step comes out."""
