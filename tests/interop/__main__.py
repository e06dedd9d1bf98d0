"""Sign here and verify there, and the reverse, in Python, Node.js and Go: `make interop`.

The three programs in this folder are those of docs/join-keys.md. They share no code and no library with the operator.
"""

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.interop.programs import MissingProgramError, Program, programs
from tests.interop.questions import (
    KEYS,
    NOW,
    SERVICES,
    Case,
    Json,
    member,
    refused_tokens,
    refused_vectors,
    sealed_here,
    vectors,
)

_CLAIMS = ("aud", "exp", "iat", "iss", "jti")


def main() -> int:
    """Ask all questions, print how many answers are right, and return 1 if one is not."""
    try:
        all_programs = programs()
        wrong = [
            *_ask("vectors", all_programs, vectors()),
            *_ask("sealed by tallystick, opened", all_programs, sealed_here()),
            *_ask("sealed keys to refuse", all_programs, refused_vectors()),
            *_ask("tokens to refuse", all_programs, refused_tokens()),
            *_both_ways(all_programs),
            *_mounted(all_programs),
        ]
    except MissingProgramError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    except subprocess.CalledProcessError as failed:
        sys.stderr.write(failed.stderr)
        return 1
    sys.stdout.writelines(f"WRONG {line}\n" for line in wrong)
    return 1 if wrong else 0


def _ask(title: str, all_programs: Iterable[Program], cases: list[Case]) -> list[str]:
    """Ask each program each question that it can answer; return the answers that are wrong."""
    wrong = []
    counts = []
    for program in all_programs:
        asked = [case for case in cases if case.question["op"] in program.operations]
        if not asked:
            continue
        answers = program.answers([case.question for case in asked])
        bad = [(case, answer) for case, answer in zip(asked, answers, strict=True) if not _is_right(case, answer)]
        wrong += [f"{program.name}: {case.name}: {json.dumps(answer)}" for case, answer in bad]
        counts.append(f"{program.name} {len(asked) - len(bad)} of {len(asked)}")
    sys.stdout.write(f"{title}: {', '.join(counts)}\n")
    return wrong


def _is_right(case: Case, answer: Json) -> bool:
    if case.error is not None:
        return "error" in answer and (not case.error or answer["error"] == case.error)
    result = answer.get("result")
    if isinstance(case.result, dict) and isinstance(result, dict):
        return all(result.get(name) == case.result[name] for name in _CLAIMS if name in case.result)
    return result == case.result and result is not None


def _both_ways(all_programs: list[Program]) -> list[str]:
    """Let each program sign, and each verify it: before a replacement, while it goes on, and without services."""
    wrong = []
    for signer in all_programs:
        cases = []
        for bits, services in itertools.product(KEYS, ([], SERVICES)):
            first, second = KEYS[bits]
            asked = {"op": "sign", "service": "access", **member([first], services=services)}
            (answer,) = signer.answers([asked])
            claims = {"aud": "jpd-1", "exp": NOW + 300, "iat": NOW, "iss": "access"}
            for keys in ([first], [second, first], [first, second]):
                question = {"op": "verify", "token": answer.get("result"), **member(keys, services=services)}
                cases.append(Case(f"signed by {signer.name}, {bits} bits", question, claims))
        wrong += _ask(f"signed by {signer.name}, verified", all_programs, cases)
    return wrong


def _mounted(all_programs: list[Program]) -> list[str]:
    """Let each program sign with a folder as kubelet mounts it, and verify that here."""
    first, second = KEYS[256]
    with tempfile.TemporaryDirectory() as folder:
        version = Path(folder, "..2026_11_30")
        version.mkdir()
        Path(folder, "..data").symlink_to(version.name)
        files = {"join-key": first, "join-key-accepted": second, "cluster-name": "jpd-1", "services": "access,xray"}
        for name, text in files.items():
            (version / name).write_text(text)
            Path(folder, name).symlink_to(f"..data/{name}")
        question = {"op": "load", "folder": folder, "service": "access", "now": NOW}
        tokens = {program.name: program.answers([question])[0] for program in all_programs}
    claims = {"aud": "jpd-1", "exp": NOW + 300, "iat": NOW, "iss": "access"}
    cases = [
        Case(
            f"mounted by {name}",
            {"op": "verify", "token": answer.get("result") or str(answer), **member([first])},
            claims,
        )
        for name, answer in tokens.items()
    ]
    return _ask("signed with a mounted key, verified", all_programs[:1], cases)


if __name__ == "__main__":
    sys.exit(main())
