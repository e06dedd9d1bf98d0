"""Collect the licenses and notices of the Go modules in programs, for the wheel of the control plane."""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tallystick.localplane.errors import BinariesError
from tallystick.localplane.toolchain import go_environment

LICENSES = ("LICENSE", "LICENCE", "COPYING", "UNLICENSE")
_NAMES = (*LICENSES, "NOTICE", "COPYRIGHT", "PATENTS", "AUTHORS")
# Texts of what is not compiled, or has a folder of its own here.
_NOT_COMPILED = frozenset({"testdata", "vendor", "LICENSES"})
_SECONDS = 600
RULE = "=" * 80


def write_notices(file: Path, programs: Iterable[Path], go: Path, environ: Mapping[str, str]) -> list[str]:
    """Write the licenses and notices of Go and of each module of the programs into a file; return the modules.

    Go downloads the modules that its cache does not have.

    Args:
        file: The file. A line with the module, such as `golang.org/x/net@v0.41.0`, and the name precedes each text.
        programs: The programs. Go has built them.
        go: The program `go`.
        environ: The environment of Go.

    Raises:
        BinariesError: A program has no list of modules, a module cannot be downloaded, or one has no license.
    """
    modules: set[str] = set()
    for program in programs:
        found = set(modules_in(_ask(go, environ, "version", "-m", program)))
        if not found:
            raise BinariesError(f"{program} has no list of its Go modules. Build it by `tallystick build-plane`.")
        modules |= found
    sources = _downloaded(go, environ, sorted(modules))
    root = Path(_ask(go, environ, "env", "GOROOT").strip())
    texts = {"go": (root, [path for path in root.iterdir() if _is_text(path)])}
    texts |= {module: (source, list(_texts(source))) for module, source in sources.items()}
    with file.open("w", encoding="utf-8") as stream:
        for name, (source, paths) in texts.items():
            if not any(path.name.upper().startswith(LICENSES) for path in paths):
                raise BinariesError(f"{source} has no license. Add the name of its file to `localplane/notices.py`.")
            for path in sorted(paths):
                text = path.read_text(encoding="utf-8", errors="replace")
                stream.write(f"{RULE}\n{name} {path.relative_to(source)}\n{RULE}\n\n{text.rstrip()}\n\n")
    return sorted(modules)


def modules_in(text: str) -> Iterator[str]:
    """Yield `PATH@VERSION` of each module in the output of `go version -m`. A module that is replaced is left out."""
    found: list[str] = []
    for line in text.splitlines():
        kind, *fields = line.split() or [""]
        if kind == "=>":
            found.pop()
        if kind in ("mod", "dep", "=>"):
            found.append("@".join(fields[:2]))
    yield from found


def _downloaded(go: Path, environ: Mapping[str, str], modules: list[str]) -> dict[str, Path]:
    """Return the folder of each module in the cache of Go."""
    decoder, text, folders = json.JSONDecoder(), _ask(go, environ, "mod", "download", "-json", *modules), {}
    while text := text.lstrip():
        one, end = decoder.raw_decode(text)
        folders[f"{one['Path']}@{one['Version']}"] = Path(one["Dir"])
        text = text[end:]
    return folders


def _texts(source: Path) -> Iterator[Path]:
    for path in source.rglob("*"):
        if _is_text(path) and not _NOT_COMPILED & set(path.relative_to(source).parts):
            yield path


def _is_text(path: Path) -> bool:
    return path.name.upper().startswith(_NAMES) and path.suffix not in {".go", ".py", ".tpl"} and path.is_file()


def _ask(go: Path, environ: Mapping[str, str], *question: str | Path) -> str:
    done = subprocess.run(  # noqa: S603 - the Go that was found or installed
        [go, *question],
        # Outside of a module, whose go.sum would have to name each one. Go verifies them by its checksum database.
        cwd=os.path.sep,
        env=go_environment(environ),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise BinariesError(f"`go {question[0]}` failed: {done.stderr.strip()[-500:]}")
    return done.stdout
