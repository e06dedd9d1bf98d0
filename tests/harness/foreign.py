"""A verifier that is not ours: a program of Go's go-jose, which shares no code with Tallystick and knows a JWKS alone.

It is built as the control plane is: by the system's Go or the wheel's, from a module whose versions and checksums are
pinned, into the user's cache under a name made of its content.
"""

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tallystick.localplane.folders import FolderLock, private_folder
from tallystick.localplane.toolchain import find_go, go_environment, parse_version, platform_name

MODULE = Path(__file__).with_name("foreign_verifier")
FILES = ("go.mod", "go.sum", "main.go")
NOT_JUDGED = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verifier says. `reason` is '' for a token that is good."""

    valid: bool
    reason: str = ""
    alg: str = ""
    kid: str = ""
    typ: str = ""
    claims: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ForeignVerifier:
    """The program, and what it is told to accept. Where the keys come from is said in `keys`, as flags."""

    program: Path
    issuer: str
    keys: tuple[str, ...]

    @classmethod
    def of_issuer(cls, program: Path, issuer: str, ca_file: Path) -> "ForeignVerifier":
        """Fetch the keys from where the issuer publishes them."""
        return cls(program, issuer, ("-jwks-url", f"{issuer}/.well-known/jwks.json", "-ca", str(ca_file)))

    @classmethod
    def of_file(cls, program: Path, issuer: str, file: Path) -> "ForeignVerifier":
        """Use the keys of a file: offline."""
        return cls(program, issuer, ("-jwks", str(file)))

    def verify(self, token: str, *, typ: str, audience: str, now: datetime) -> Verdict:
        """Judge one token at a time of day. The token goes through standard input: command lines can be read."""
        flags = {"-issuer": self.issuer, "-audience": audience, "-typ": typ, "-now": str(int(now.timestamp()))}
        reported = [part for flag in flags.items() for part in flag]
        done = subprocess.run(
            [self.program, *self.keys, *reported], input=token, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode != NOT_JUDGED, done.stderr
        verdict = Verdict(**json.loads(done.stdout))
        assert verdict.valid is (done.returncode == 0)
        return verdict


def foreign_verifier_program(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the program, building it first where the user's cache lacks it (seconds, once)."""
    base = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tallystick"
    private_folder(base)
    program = private_folder(base / "foreign-verifier") / _content_key()
    if program.is_file():
        return program
    with _locked(program.with_suffix(".lock")):
        if not program.is_file():
            _build(program, private_folder(base / "localplane"), environ)
    return program


def _content_key() -> str:
    digest = hashlib.sha256(platform_name().encode())
    for name in FILES:
        digest.update(hashlib.sha256((MODULE / name).read_bytes()).digest())
    return digest.hexdigest()[:24]


def _build(program: Path, toolchains: Path, environ: Mapping[str, str]) -> None:
    """Build beside the place and rename: what a killed build leaves behind is never run."""
    needed = next(line for line in (MODULE / "go.mod").read_text().splitlines() if line.startswith("go "))
    go = find_go(parse_version(needed), toolchains, environ, print)
    with tempfile.TemporaryDirectory(dir=program.parent) as staging:
        built = Path(staging) / program.name
        done = subprocess.run(
            [go, "build", "-trimpath", "-buildvcs=false", "-o", built, "."],
            cwd=MODULE,
            env=go_environment(environ) | {"GOTMPDIR": staging},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, f"the foreign verifier cannot be built:\n{done.stderr}"
        built.rename(program)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    lock = FolderLock.take(file, on_busy=lambda _: None)
    try:
        yield
    finally:
        lock.release()
