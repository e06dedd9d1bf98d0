"""The programs that answer the questions: this code, and three that share nothing with it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tallystick.clusterkeys.client import JoinKeys
from tallystick.clusterkeys.client.service_tokens import Membership, sign, verify
from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.clusterkeys.domain.sealing import SealProblem, open_sealed, read_sealed
from tests.interop import service_token

Json = dict[str, Any]
HERE = Path(__file__).parent


class MissingProgramError(Exception):
    """A language is not installed. The text says which."""


class RefusedError(Exception):
    """The text is not what it should be."""


@dataclass(frozen=True, slots=True)
class Program:
    """One implementation, and which operations it has."""

    name: str
    answers: Callable[[list[Json]], list[Json]]
    operations: frozenset[str] = frozenset({"sign", "verify", "load", "open", "fingerprint"})


def programs() -> list[Program]:
    """Return all of them; raises MissingProgramError."""
    return [
        Program("tallystick", _each(_ours)),
        Program("Python", _each(_snippet), frozenset({"sign", "verify", "load"})),
        Program("Node.js", _process([found("node"), "main.mjs"], HERE / "node")),
        Program("Go", _process([found("go"), "run", "."], HERE / "go")),
    ]


def found(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingProgramError(f"{name} is not in PATH; install Node.js 20 and Go 1.24, or newer")
    return path


def _process(command: list[str], folder: Path) -> Callable[[list[Json]], list[Json]]:
    def answers(questions: list[Json]) -> list[Json]:
        done = subprocess.run(
            command, cwd=folder, input=json.dumps(questions), capture_output=True, encoding="utf-8", check=True
        )
        found: list[Json] = json.loads(done.stdout)
        return found

    return answers


def _each(answer: Callable[[Json], Any]) -> Callable[[list[Json]], list[Json]]:
    def answers(questions: list[Json]) -> list[Json]:
        found = []
        for question in questions:
            try:
                found.append({"result": answer(question)})
            except Exception as error:  # noqa: BLE001 - each refusal is an answer
                found.append({"error": str(error)})
        return found

    return answers


def _ours(question: Json) -> Any:
    match question["op"]:
        case "sign":
            return sign(
                _membership(question), question["service"], {}, now=_now(question), lifetime=300, token_id="t-1"
            )
        case "verify":
            return verify(question["token"], _membership(question), now=_now(question))
        case "load":
            keys = JoinKeys(question["folder"], now=lambda: question["now"])
            return keys.sign(question["service"])
        case "open":
            return _opened(question)
    purpose = {"join": Purpose.JOIN, "master": Purpose.MASTER}[question["kind"]]
    return ClusterKey(purpose, bytes.fromhex(question["key"])).fingerprint


def _opened(question: Json) -> str:
    unverified = read_sealed(question["sealed"])
    if isinstance(unverified, SealProblem):
        raise RefusedError(unverified.text)
    master = ClusterKey(Purpose.MASTER, bytes.fromhex(question["key"]))
    key = open_sealed(question["sealed"], [master], unverified.about)
    if isinstance(key, SealProblem):
        raise RefusedError(key.text)
    return key.to_hex()


def _snippet(question: Json) -> Any:
    now = question["now"]
    if question["op"] == "load":
        return service_token.sign(service_token.load(question["folder"]), question["service"], now=now)
    keys = [bytes.fromhex(text) for text in question["keys"]]
    member = {**question, "keys": {service_token.key_id(key): key for key in keys}}
    if question["op"] == "sign":
        return service_token.sign(member, question["service"], now=now)
    return service_token.verify(question["token"], member, now=now)


def _membership(question: Json) -> Membership:
    keys = [ClusterKey(Purpose.JOIN, bytes.fromhex(text)) for text in question["keys"]]
    accepted = keys[1] if len(keys) > 1 else None
    return Membership(keys[0], accepted, question["cluster"], question["services"])


def _now(question: Json) -> datetime:
    return datetime.fromtimestamp(question["now"], UTC)
