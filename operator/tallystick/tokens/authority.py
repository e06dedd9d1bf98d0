"""The CA of the exchange's certificate, for the Secrets of tokens. It is renewed while a process runs."""

from collections.abc import Callable

# Returns the CA (PEM). None: a public CA has issued the certificate.
CaPem = Callable[[], str | None]


def no_ca() -> str | None:
    """Return None: a public CA has issued the exchange's certificate."""
    return None
