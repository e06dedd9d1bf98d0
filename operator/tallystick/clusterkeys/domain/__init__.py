"""Pure decisions about join keys and master keys: no I/O, and time and randomness are arguments."""
