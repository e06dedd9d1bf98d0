"""The HTTP edge of the exchange: bytes in, one use case, bytes out."""
