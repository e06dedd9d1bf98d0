"""Pure decisions. No clock, no network, no randomness: what was seen goes in, what to do comes out."""
