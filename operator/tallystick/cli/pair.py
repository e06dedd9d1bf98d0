"""`tallystick pair`: redeem a pairing token from a shell, for a master token that is bound to a key of one's own.

The values of both tokens stand in no argument, log or error.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import aiohttp
import typer

from tallystick.cli.pair_files import STANDARD, PairError, held_key, master_token_place, read_token
from tallystick.cli.pairing import Answer, Pairing, PairRequest, is_issuer
from tallystick.crypto.encoding import MalformedError, parse_object
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.ids import RandomIds

LONGEST_ANSWER = 64 * 1024
_MOST_BRACKETS = 256
_TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=5)


def pair(
    token_file: Annotated[str, typer.Option(help="The pairing token; `-` reads standard input.")],
    issuer: Annotated[str, typer.Option(help="The issuer that you trust: its https URL.")],
    out: Annotated[str, typer.Option(help="Where the master token goes, mode 0600; `-` is standard output.")] = "-",
    ca_file: Annotated[Path | None, typer.Option(help="The issuer's CA (PEM). Default: the system's.")] = None,
    client_id: Annotated[str | None, typer.Option(help="Your own service's base URL.")] = None,
    scope: Annotated[str | None, typer.Option(help="Less than the use case allows. Default: all of it.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="Your P-256 key, made if absent. Default: OUT.key or TOKEN_FILE.key.")
    ] = None,
    no_dpop: Annotated[bool, typer.Option("--no-dpop", help="Ask for a bearer token, bound to no key.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
) -> None:
    """Exchange a pairing token for a master token."""
    if no_dpop and key_file is not None:
        raise typer.BadParameter("--no-dpop and --key-file exclude each other")
    beside = out if out != STANDARD else token_file
    if not no_dpop and key_file is None and beside == STANDARD:
        raise typer.BadParameter("the master token is bound to a key: give --key-file, or --out, or --no-dpop")
    if not is_issuer(issuer):
        raise typer.BadParameter("--issuer must be an https URL without query, fragment or a slash at its end")
    key_path = None if no_dpop else key_file or Path(f"{beside}.key")
    try:
        with ExitStack() as stack:
            write: Callable[[str], None] = typer.echo
            if out != STANDARD:
                write = stack.enter_context(master_token_place(Path(out), force=force))
            trust, token = _trust(ca_file), read_token(token_file)
            key = held_key(key_path) if key_path else None
            write(asyncio.run(_pair(PairRequest(token, issuer, key, client_id, scope), trust)))
    except PairError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    kept = f"; the key that it is bound to is in {key_path}" if key_path else ""
    place = "on standard output" if out == STANDARD else f"in {out}"
    typer.echo(f"Paired with {issuer}: the master token is {place}{kept}.", err=True)


async def _pair(request: PairRequest, trust: ssl.SSLContext) -> str:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust), timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        send = HttpSender(session)
        return await Pairing(request, send, clock=SystemClock(), ids=RandomIds(), sleep=asyncio.sleep).master_token()


class HttpSender:
    """The `Send` port over HTTP."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def __call__(
        self, method: str, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request; raises PairError where the peer does not prove who it is."""
        try:
            async with self._session.request(method, url, data=form, headers=headers, allow_redirects=False) as got:
                return Answer(got.status, await _body(got), _seconds(got.headers.get("Retry-After", "")))
        except aiohttp.ClientSSLError as error:
            raise PairError(
                f"{urlsplit(url).netloc} does not prove that it is the issuer ({_tls_reason(error)}); "
                "give its CA with --ca-file: it is `ca.crt` in the Secret of the pairing token"
            ) from None
        except aiohttp.InvalidURL:
            raise PairError("the issuer names an endpoint that is no URL") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(0, {}, problem=f"no connection, or it was lost ({type(error).__name__})")


async def _body(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Read a JSON object, within limits; what is none gives an empty one."""
    raw = bytearray()
    async for chunk in response.content.iter_chunked(8192):
        raw += chunk
        if len(raw) > LONGEST_ANSWER:
            return {}
    try:
        return parse_object(bytes(raw), max_brackets=_MOST_BRACKETS)
    except MalformedError:
        return {}


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        reason = error.strerror or "no certificate in it"
        raise PairError(f"--ca-file {ca_file} cannot be used: {reason}; it must be PEM") from None


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0


def _tls_reason(error: aiohttp.ClientSSLError) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    return str(getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or type(error).__name__)
