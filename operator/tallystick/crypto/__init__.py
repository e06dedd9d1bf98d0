"""Pure mechanisms: sign and strictly verify JWTs, the keyring, proofs of possession."""
