"""One device: it performs the steps of the contract. Clock, disk and HTTP are arguments, so a process can have many."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tallystick.crypto.dpop import make_proof
from tallystick.crypto.encoding import MalformedError, parse_object, to_json
from tallystick.crypto.keys import InvalidKeyError, SigningKey
from tallystick.crypto.profiles import serial, text
from tallystick.fleet.client.contract import (
    FIRST_WAIT,
    Answer,
    Copy,
    Drop,
    Held,
    Memory,
    Outcome,
    Promote,
    Request,
    Slot,
    Step,
    Store,
    Write,
    after_failed_write,
    next_request,
    spread,
    step,
)
from tallystick.fleet.client.disk import AgentError, Disk
from tallystick.fleet.domain.next_check_in import DEVICES_PATH, check_in_path
from tallystick.objects.ports import Clock, Ids

KEY_FILE = "key.pem"
FILES = {Slot.PROVED: "proved.json", Slot.NEXT: "next.json"}
NOT_STORED = "NotStored"
"""The reason that the device reports for a copy that it cannot store."""
_LONGEST_MESSAGE = 256
_is_text = text(_LONGEST_MESSAGE)


@dataclass(frozen=True, slots=True)
class Post:
    """One POST to the exchange. `body` is JSON; empty for none."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = b""


Send = Callable[[Post], Awaitable[Answer]]
"""Sends one request, and returns the answer; one of status 0 if there was none. It follows no redirect."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a device.

    Attributes:
        url: The public URL of the exchange, without a trailing slash. Tokens are sent to no other URL.
        enrollment_value: Returns the value to enroll with, as it is now; raises AgentError if there is none.
        name: A name for people, or None.
    """

    url: str
    enrollment_value: Callable[[], str]
    name: str | None = None


class Device:
    """A device with its files. A new object of the same files continues after a crash at any point."""

    def __init__(self, settings: Settings, *, disk: Disk, send: Send, clock: Clock, ids: Ids) -> None:
        """Read the files; create the key if there is none, and store it before the first request.

        Raises:
            AgentError: The key cannot be read or stored.
        """
        self._settings, self._disk, self._send, self._clock, self._ids = settings, disk, send, clock, ids
        self.problem = ""
        """Why the last step failed, for people."""
        self._memory = Memory()
        self._clock_offset = timedelta()
        self._key = _own_key(disk)
        self._held = self._read()

    @property
    def held(self) -> Held:
        """The copies in the files."""
        return self._held

    async def take_step(self) -> Step:
        """Send one request, and store the result. The caller waits `wait` seconds before the next call."""
        taken = await self._take_step()
        if taken.outcome not in (Outcome.FAILED, Outcome.REJECTED):
            return taken  # the exchange has spread the waits of those who succeed
        return replace(taken, wait=spread(taken.wait, self._ids.new()))

    async def _take_step(self) -> Step:
        request = next_request(self._held, self._memory)
        answer = await self._answer(request)
        self.problem = answer.problem
        taken = step(self._held, self._memory, request, answer)
        self._memory = taken.memory
        if taken.clock is not None:
            self._clock_offset = taken.clock - self._clock.now()
        for write in taken.writes:
            try:
                self._perform(write)
            except OSError as error:
                return self._unstored(write, error)
        return taken

    async def _answer(self, request: Request) -> Answer:
        try:
            post = self._post(request)
        except AgentError as error:
            return Answer(0, problem=str(error))
        return await self._send(post)

    def _unstored(self, write: Write, error: OSError) -> Step:
        message = error.strerror if error.strerror and _is_text(error.strerror) else ""
        self._memory, wait = after_failed_write(self._memory, write, NOT_STORED, message)
        self.problem = f"a copy cannot be stored: {error.strerror}; correct the folder of --state-dir"
        self._held = self._read()
        if isinstance(write, Store) and write.copy in (self._held.proved, self._held.next):
            # The call failed after the change, so the copy can be used: there is no failure to report.
            self._memory, wait = replace(self._memory, failed=None), FIRST_WAIT
        return Step(Outcome.FAILED, self._memory, wait=wait)

    def _perform(self, write: Write) -> None:
        match write:
            case Store(slot, copy):
                self._disk.write(FILES[slot], _to_file(copy))
                self._held = Held(copy, self._held.next) if slot is Slot.PROVED else Held(self._held.proved, copy)
            case Promote():
                self._disk.rename(FILES[Slot.NEXT], FILES[Slot.PROVED])
                self._held = Held(self._held.next)
            case Drop():
                self._disk.delete(FILES[Slot.NEXT])
                self._held = Held(self._held.proved)

    def _post(self, request: Request) -> Post:
        if request.copy is None:
            name = self._settings.name
            body: dict[str, Any] = {} if name is None else {"name": name}
            return self._signed(DEVICES_PATH, f"Bearer {self._settings.enrollment_value()}", None, body)
        copy, failed = request.copy, request.failed
        body = {}
        if failed is not None:
            report = {"generation": failed.generation, "reason": failed.reason, "message": failed.message}
            body = {"failed": {name: value for name, value in report.items() if value}}
        # The path of `check_in_uri`, below the URL of the settings: a token is never sent to the URL of an answer
        # (docs/rules.md#s13).
        return self._signed(check_in_path(copy.device_id), f"DPoP {copy.token}", copy.token, body)

    def _signed(self, path: str, authorization: str, access_token: str | None, body: Mapping[str, Any]) -> Post:
        url = self._settings.url + path
        proof = make_proof(
            self._key, method="POST", url=url, now=self._now(), proof_id=self._ids.new(), access_token=access_token
        )
        content = {"Content-Type": "application/json"} if body else {}
        headers = {"Authorization": authorization, "DPoP": proof, **content}
        return Post(url, headers, json.dumps(body).encode("ascii") if body else b"")

    def _now(self) -> datetime:
        """The time of the exchange, as far as it is known."""
        return self._clock.now() + self._clock_offset

    def _read(self) -> Held:
        return Held(*(_from_file(self._disk, FILES[slot]) for slot in (Slot.PROVED, Slot.NEXT)))


def _own_key(disk: Disk) -> SigningKey:
    """Return the key of the device. A key that exists is never replaced (rule 1)."""
    try:
        pem = disk.read(KEY_FILE)
        if pem is None:
            key = SigningKey.generate("ES256")
            disk.write(KEY_FILE, key.to_pem())
            return key
    except OSError as error:
        raise AgentError(
            f"{KEY_FILE} cannot be read or stored: {error.strerror}; correct the folder of --state-dir"
        ) from error
    try:
        key = SigningKey.from_pem(pem)
    except InvalidKeyError as problem:
        raise AgentError(f"{KEY_FILE} cannot be used: {problem}; restore it, or set another --state-dir") from None
    if key.alg != "ES256":
        raise AgentError(f"{KEY_FILE} must contain a P-256 key; restore it, or set another --state-dir")
    return key


def _to_file(copy: Copy) -> bytes:
    return to_json({"device_id": copy.device_id, "generation": copy.generation, "token": copy.token})


def _from_file(disk: Disk, name: str) -> Copy | None:
    """Return the copy in a file; None if there is no such file, or if it is damaged.

    A device with a damaged file goes on with its other file, or enrolls again with its key.
    """
    try:
        members = parse_object(disk.read(name) or b"")
    except (OSError, MalformedError):
        return None
    device_id, generation, token = (members.get(member) for member in ("device_id", "generation", "token"))
    if not isinstance(device_id, str) or not serial(generation) or not isinstance(token, str):
        return None
    return Copy(device_id, int(generation or 0), token)
