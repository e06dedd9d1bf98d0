"""The pure decisions of connections: observations go in, the next step comes out."""
