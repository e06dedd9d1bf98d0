"""What must never be written down (design.md, API decision 2): anything that looks like a token.

A last net under logs, audit and events, which should hold no token in the first place.
"""

import re

REDACTED = "[redacted]"

# RFC 7515 3.1: a JWS starts with the base64url of `{"`. The second form is the same once more in base64, as a Secret's
# `data` spells it. A cut-off token is caught too: logs like to shorten.
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*|ZXlK[A-Za-z0-9+/_-]{8,}=*")


def redact(text: str) -> str:
    """Replace every part of a text that looks like a JWT or JWE."""
    return _TOKEN.sub(REDACTED, text)


def holds_token(text: str) -> bool:
    """Whether a part of the text looks like a JWT or JWE."""
    return _TOKEN.search(text) is not None
