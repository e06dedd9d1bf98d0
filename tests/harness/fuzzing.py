"""Runs schemathesis against an exchange, as a program of its own, and reads what it counted.

In a process of its own, because it changes Hypothesis for whoever shares one with it. What it sends beside what the
document lets it make up, from where, and what it checks beside its own checks, is in `fuzzing_hooks.py`.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from tests.harness.exchange import Exchange
from tests.harness.system import REPOSITORY, System

SEED = "FUZZ_SEED"
LIVE = "FUZZ_LIVE"
COUNTS = "FUZZ_COUNTS"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "answer_is_not_stored",
    "answer_is_plain_text",
    "nothing_is_reflected",
)


def seed_of(config: pytest.Config) -> int:
    """The seed of a run: the same in every gate, a fresh one in every soak; FUZZ_SEED replays one that failed."""
    if SEED in os.environ:
        return int(os.environ[SEED])
    return secrets.randbelow(2**32) if config.option.soak else 1


@dataclass(frozen=True, slots=True)
class LiveTokens:
    """Tokens of ours. `bearer` is of a caller who may introspect them; the `redeemable` ones are never revoked.

    `connections` are of type Kubernetes, by the path of the object that each belongs to: `namespace/name`.
    """

    bearer: str
    redeemable: Sequence[str]
    others: Sequence[str]
    connections: Mapping[str, str]

    @property
    def all(self) -> tuple[str, ...]:
        return (self.bearer, *self.redeemable, *self.others, *self.connections.values())


@dataclass(frozen=True, slots=True)
class Campaign:
    """What came of it.

    Attributes:
        passed: whether all checks held.
        report: what schemathesis says, for people; with the seed and a curl command for each failure.
        answers: how often each operation was answered with each status.
        codes: how often each error code was answered.
    """

    passed: bool
    report: str
    answers: Mapping[str, Mapping[str, int]]
    codes: Mapping[str, int]

    @property
    def requests(self) -> int:
        return sum(sum(counted.values()) for counted in self.answers.values())

    @property
    def redeemed(self) -> int:
        """How many requests got a master token."""
        return self.answers.get("POST /oauth2/token", {}).get("200", 0)

    @property
    def heartbeats(self) -> Mapping[str, int]:
        """How often heartbeats were answered with each status."""
        return self.answers.get("POST /v1/connections/{namespace}/{name}/heartbeat", {})

    def answered(self, *statuses: int) -> int:
        """How many answers had one of these statuses."""
        return sum(counted.get(str(status), 0) for counted in self.answers.values() for status in statuses)


def fuzz(exchange: Exchange, system: System, folder: Path, *, live: LiveTokens, examples: int, seed: int) -> Campaign:
    """Read the document from a replica, and try what it describes.

    Args:
        exchange: a client of the replica.
        system: whose replica it is.
        folder: where its files go.
        live: what takes the place of made-up tokens in most requests.
        examples: how many cases to make up for each operation; the fixed ones of the other phases come on top.
        seed: what chooses them.
    """
    given, counts = folder / "live.json", folder / "counts.json"
    given.touch(mode=0o600)
    context = {"token_url": f"{exchange.issuer}/oauth2/token", "clock": str(system.up.folder / "clock")}
    given.write_text(json.dumps({**asdict(live), **context}))
    own = {
        "SCHEMATHESIS_HOOKS": "tests.harness.fuzzing_hooks",
        "PYTHONPATH": str(REPOSITORY),
        LIVE: str(given),
        COUNTS: str(counts),
    }
    options = {
        "--tls-verify": system.up.ca_file,
        "--phases": "examples,coverage,fuzzing",
        "--checks": ",".join(CHECKS),
        "--max-examples": examples,
        "--seed": seed,
        "--suppress-health-check": "all",
        "--warnings": "off",
    }
    flags = [str(part) for option in options.items() for part in option]
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [program, "run", f"{exchange.url}/openapi.json", *flags, "--continue-on-failure", "--no-color"],
        cwd=folder,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    given.unlink()
    report = done.stdout + done.stderr
    for number, secret in enumerate(live.all):
        report = report.replace(secret, f"(token {number})")
    counted = json.loads(counts.read_text()) if counts.exists() else {"answers": {}, "codes": {}}
    return Campaign(done.returncode == 0, report, counted["answers"], counted["codes"])
