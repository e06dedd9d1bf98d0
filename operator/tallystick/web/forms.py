"""Read a form strictly: one content type, one encoding, each parameter once (RFC 6749 3.2, appendix B)."""

import asyncio
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from tallystick.api.connection_configuration import DeploymentType
from tallystick.domain.errors import ExchangeRefusedError

FORM = "application/x-www-form-urlencoded"
MOST_BYTES = 64 * 1024
BODY_SECONDS = 5.0
MOST_PARAMETERS = 64
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NAME = re.compile(r"[A-Za-z0-9_.:~-]{1,64}")


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of a request. Those without a value are left out, as if they had not been sent (RFC 6749 3.1)."""

    parameters: tuple[tuple[str, str], ...]

    def one(self, name: str) -> str | None:
        """Return the value of a parameter that occurs at most once."""
        return next((value for key, value in self.parameters if key == name), None)

    def required(self, name: str) -> str:
        """Return the value of a parameter that must be there."""
        value = self.one(name)
        if value is None:
            raise ExchangeRefusedError("invalid_request", f"{name} is missing")
        return value

    def many(self, name: str) -> tuple[str, ...]:
        """Return all values of a parameter that may repeat."""
        return tuple(value for key, value in self.parameters if key == name)


def deployment_type_of(given: object) -> DeploymentType | None:
    """Read what the caller says that a token is used in, by its one spelling; None where it does not say."""
    found = next((known for known in DeploymentType if known.value == given), None)
    if given is not None and found is None:
        raise ExchangeRefusedError("invalid_request", f"deployment_type must be {' or '.join(DeploymentType)}")
    return found


async def read_form(
    request: web.Request, *, may_repeat: Collection[str] = (), body_seconds: float = BODY_SECONDS
) -> Form:
    """Read the body as a form.

    Raises:
        ExchangeRefusedError: it is not a form of the one spelling that is accepted, or a parameter repeats.
        web.HTTPException: 408, 413 or 415.
    """
    if request.query_string:
        # A token in a URL ends up in logs (RFC 9700 4.3.2); refusing it shows the client its mistake.
        raise ExchangeRefusedError("invalid_request", "parameters belong into the body, not into the URL")
    if request.content_type != FORM or hdrs.CONTENT_ENCODING in request.headers:
        raise web.HTTPUnsupportedMediaType
    body = await read_body(request, body_seconds)
    return parse_form(body, may_repeat=may_repeat)


def parse_form(body: bytes, *, may_repeat: Collection[str] = ()) -> Form:
    """Parse a form; raises ExchangeRefusedError."""
    try:
        pairs = _pairs(body)
    except ValueError:
        raise ExchangeRefusedError("invalid_request", "the body is not a well-formed form") from None
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen and name not in may_repeat:
            # The name comes from outside; only one that is plain is repeated to the caller.
            which = name if _NAME.fullmatch(name) else "a parameter"
            raise ExchangeRefusedError("invalid_request", f"{which} is given more than once")
        seen.add(name)
    return Form(tuple((name, value) for name, value in pairs if value))


def _pairs(body: bytes) -> list[tuple[str, str]]:
    text = body.decode("ascii")  # everything else is percent-encoded
    if _BROKEN_ESCAPE.search(text):
        raise ValueError("a broken escape")
    return parse_qsl(
        text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=MOST_PARAMETERS
    )


async def read_body(request: web.Request, seconds: float = BODY_SECONDS) -> bytes:
    """Read a body of bounded size in bounded time; raises web.HTTPException (408, 413) or ExchangeRefusedError."""
    if request.content_length is not None and request.content_length > MOST_BYTES:
        raise web.HTTPRequestEntityTooLarge(MOST_BYTES)
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (web.RequestPayloadError, ConnectionError):
        # A chunk of a wrong size, or a client that hung up and will not read this.
        raise ExchangeRefusedError("invalid_request", "the body is not complete") from None
