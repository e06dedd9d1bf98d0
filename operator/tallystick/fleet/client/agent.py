"""`tallystick agent`: run a device by its contract, over HTTPS and in a folder.

No argument, log or error contains the value of a token.
"""

import os
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import typer

from tallystick.crypto.encoding import MalformedError, parse_object
from tallystick.crypto.profiles import text
from tallystick.crypto.tokens import MAX_TOKEN_LENGTH
from tallystick.errors import InvalidSettingError
from tallystick.fleet.client.contract import Answer, Outcome, Step
from tallystick.fleet.client.device import Device, Post, Settings
from tallystick.fleet.client.disk import AgentError, own_folder
from tallystick.kube.problems import connection_problem
from tallystick.kube.proxies import ALL_PROXY, environment_proxy
from tallystick.kube.tls import TlsSettings, client_context
from tallystick.objects.ports import Clock
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.ids import RandomIds
from tallystick.runtime.stopping import run_async, undone_by_signals

REMOVED_STATUS = 3
"""The exit status after an administrator has deleted the Device."""
_LONGEST_ANSWER = 64 * 1024
_MOST_BRACKETS = 256
_LONGEST_NAME = 63
_LONGEST_DETAIL = 512
_TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=5)
_OK = range(200, 300)
_is_name, _is_detail = text(_LONGEST_NAME), text(_LONGEST_DETAIL)


@dataclass(frozen=True, slots=True)
class Trust:
    """The CAs that the user trusts, and the way to the exchange."""

    context: ssl.SSLContext
    settings: TlsSettings
    proxy: str | None


def run_agent(
    *, url: str, enrollment_token: Path, state_dir: Path, ca_file: Path | None, name: str | None, once: bool
) -> None:
    """Run `tallystick agent` with the flags that the user gives."""
    if not _is_https(url):
        raise typer.BadParameter("--url must be an https URL without query, fragment or trailing slash")
    if name is not None and not _is_name(name):
        raise typer.BadParameter(f"--name must have 1 to {_LONGEST_NAME} printable characters")
    try:
        with ExitStack() as stack:
            stack.enter_context(undone_by_signals())
            disk = stack.enter_context(own_folder(state_dir))
            settings = Settings(url, lambda: read_value(enrollment_token), name)
            outcome = run_async(_run(settings, disk, _trust(ca_file, url), once=once))
    except AgentError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    if outcome is Outcome.REMOVED:
        typer.echo(
            f"error: the Device was deleted; to enroll again, delete proved.json and next.json in {state_dir}", err=True
        )
        raise typer.Exit(REMOVED_STATUS)
    if outcome is not Outcome.UP_TO_DATE:
        raise typer.Exit(1)


async def follow(device: Device, clock: Clock, *, once: bool) -> Outcome:
    """Take the steps of a device until its Device is deleted; with `once`, until it would wait. Return the last one."""
    while True:
        taken = await device.take_step()
        _report(device, taken)
        if taken.outcome is Outcome.REMOVED or (once and taken.wait):
            return taken.outcome
        if taken.wait:
            await clock.pause(taken.wait)


def read_value(file: Path) -> str:
    """Return the value to enroll with, without a trailing newline; raises AgentError."""
    try:
        with file.open("rb") as stream:
            value = stream.read(MAX_TOKEN_LENGTH + 2).decode("ascii").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise AgentError(
            f"--enrolment-token {file} cannot be read: {error.strerror}; set the file with key `token` of the Secret"
        ) from error
    except UnicodeDecodeError:
        # `from None`: the cause quotes the bytes of the token.
        value = ""
    if not value or len(value) > MAX_TOKEN_LENGTH or not value.isprintable() or " " in value:
        raise AgentError(
            f"--enrolment-token {file} does not contain a token; set the file with key `token` of the Secret"
        )
    return value


class HttpSender:
    """The `Send` port over HTTPS."""

    def __init__(self, session: aiohttp.ClientSession, trust: Trust) -> None:
        self._session = session
        self._trust = trust

    async def __call__(self, post: Post) -> Answer:
        """Send one request. It follows no redirect, which would send the token to another URL."""
        try:
            async with self._session.post(
                post.url, data=post.body or None, headers=post.headers, allow_redirects=False
            ) as got:
                return _answer(got.status, await _body(got), got.headers.get("Retry-After"), got.headers.get("Date"))
        except (aiohttp.ClientError, TimeoutError) as error:
            trust = self._trust
            why = connection_problem(error, trust.settings, urlsplit(post.url).netloc, trust.proxy)
            return Answer(0, problem=f"the connection failed or was lost: {why}")


async def _run(settings: Settings, disk: Any, trust: Trust, *, once: bool) -> Outcome:
    clock = SystemClock()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust.context),
        timeout=_TIMEOUT,
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=trust.proxy,
    ) as session:
        device = Device(settings, disk=disk, send=HttpSender(session, trust), clock=clock, ids=RandomIds())
        return await follow(device, clock, once=once)


def _answer(status: int, body: dict[str, Any], retry_after: str | None, date: str | None) -> Answer:
    detail = body.get("detail")
    why = f": {detail}" if _is_detail(detail) else ""
    problem = "" if status in _OK else f"HTTP status {status}{why}"
    return Answer(status, body, _seconds(retry_after), _time(date), problem)


async def _body(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Read a JSON object, within limits; return an empty one for any other content."""
    raw = bytearray()
    async for chunk in response.content.iter_chunked(8192):
        raw += chunk
        if len(raw) > _LONGEST_ANSWER:
            return {}
    try:
        return parse_object(bytes(raw), max_brackets=_MOST_BRACKETS)
    except MalformedError:
        return {}


def _report(device: Device, taken: Step) -> None:
    """Print one line about a step that changed something or failed. An idle check-in prints no line."""
    proved = device.held.proved
    match taken.outcome:
        case Outcome.ENROLLED if proved is not None:
            line = f"Enrolled as {proved.device_id}, with the copy of generation {proved.generation}."
        case Outcome.HANDED_OUT if device.held.next is not None:
            line = f"Stored the copy of generation {device.held.next.generation}."
        case Outcome.UP_TO_DATE if taken.writes and proved is not None:
            line = f"The exchange has accepted the copy of generation {proved.generation}."
        case Outcome.CLOCK:
            line = "Took the time from the exchange."
        case Outcome.REJECTED | Outcome.FAILED:
            line = f"error: {device.problem or 'the answer is not complete'}; next attempt in {taken.wait:.0f} s"
        case _:
            return
    typer.echo(line, err=True)


def _trust(ca_file: Path | None, url: str) -> Trust:
    settings = TlsSettings("--url", "--ca-file", ca_file is not None, "key `ca.crt` in the Secret of the token")
    try:
        return Trust(client_context(ca_file=ca_file), settings, environment_proxy(url, os.environ, fallback=ALL_PROXY))
    except InvalidSettingError as error:
        raise AgentError(str(error)) from None
    except OSError as error:
        reason = (not isinstance(error, ssl.SSLError) and error.strerror) or "it contains no certificate"
        raise AgentError(f"--ca-file {ca_file} cannot be used: {reason}; use a PEM file") from None


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError
    except ValueError:
        return False
    plain = not parts.query and not parts.fragment and "@" not in parts.netloc and not url.endswith("/")
    return parts.scheme == "https" and bool(parts.hostname) and plain and url.isascii() and url.isprintable()


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None


def _time(date: str | None) -> datetime | None:
    """Return the time of a header `Date`; None if it is absent or malformed."""
    try:
        time = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
