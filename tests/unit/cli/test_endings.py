"""Each command ends with one line for an expected error, and starts nothing that its arguments forbid."""

import ast
import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tallystick.cli.command_lines import COMMAND_LINES
from tallystick.cli.main import main
from tallystick.registry import FEATURES
from tests.unit.golden import product

PACKAGE = Path(__file__).parents[3] / "operator" / "tallystick"
HEAVY = ("aiohttp", "cryptography", "kopf", "kubernetes", "pydantic", "rich", "structlog", "yaml")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Run `tallystick` in this process, in a folder of its own; return the exit status and standard error."""
    for name in ("KUBECONFIG", "KUBEBUILDER_ASSETS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "latin-1").write_bytes("# Köln\nuseCases: {}\n".encode("latin-1"))
    (tmp_path / "tagged").write_text("useCases: !!bool x\n")
    (tmp_path / "table").write_text("useCases: {press: {scope: 1, audience: [a, a]}}\n")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")

    def started(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tallystick", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    return started


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up", "--use-cases-file", "none"), "--use-cases-file none cannot be read: No such file or directory; "),
        (("up", "--use-cases-file", "."), "--use-cases-file . cannot be read: Is a directory; set another file"),
        (("up", "--use-cases-file", "loop"), "cannot be read: Too many levels of symbolic links; set another file"),
        (("up", "--use-cases-file", "fifo"), "--use-cases-file fifo is not a regular file; set the path of one"),
        (("up", "--use-cases-file", "/dev/zero"), "--use-cases-file /dev/zero is not a regular file"),
        (("up", "--use-cases-file", "latin-1"), "--use-cases-file latin-1 is not UTF-8 text (line 1); convert it"),
        (("up", "--use-cases-file", "tagged"), "--use-cases-file tagged is not valid YAML"),
        (("up", "--use-cases-file", "table"), "is invalid: useCases.press.scope must be a list; useCases.press.aud"),
        (("up", "--listen", "::1:8443"), "::1:8443 is not a valid address; write an IPv6 address in brackets"),
        (("up", "--listen", "127.0.0.1:0"), "--listen 127.0.0.1:0 has no fixed port, but tokens contain it"),
        (("up", "--listen", "192.0.2.1:8443"), "192.0.2.1 is not an address of this machine; choose one of its own"),
        (("up", "--context", "nosuch"), "--context nosuch cannot be used: "),
        (("up", "--data-dir", "file/data"), "file/data cannot be created: Not a directory. Use another folder"),
        (("up", "--data-dir", "file"), "file is not a folder. Use a folder that does not exist yet."),
        (("up", "--data-dir", "data"), "/dev/null/.cache/tallystick cannot be created: Not a directory. Set HOME or"),
        (("demo",), "/dev/null/.cache/tallystick cannot be created: Not a directory. Set HOME or XDG_CACHE_HOME"),
        (("build-plane",), "/dev/null/.cache/tallystick cannot be created: Not a directory. Set HOME or"),
        (("manifests", "--crds-to", "file"), "--crds-to file cannot be written: File exists; set a folder where"),
        (("manifests", "--crds-to", "file/x"), "--crds-to file/x cannot be written: Not a directory; set a folder"),
        (("controller", "--public-urls", "https://x", "--health-listen", "x"), "--health-listen (or TALLYSTICK_HEALTH"),
        (("exchange", "--public-urls", "https://x", "--listen", "[x]:1"), "--listen (or TALLYSTICK_LISTEN): [x]:1 is"),
    ],
)
def test_what_cannot_work_is_refused_at_once_in_one_line(run, arguments, said):
    status, error = run(*arguments)

    assert (status, error.count("\n")) == (1, 1), error
    assert error.startswith("error: ")
    assert said in error
    assert "pydantic" not in error


@pytest.mark.parametrize("arguments", [("nosuch",), ("up", "--nosuch"), ("up", "--requester", "x"), ("pair",)])
def test_a_command_line_that_cannot_be_parsed_ends_with_2(run, arguments):
    status, error = run(*arguments)

    assert status == 2
    assert "Traceback" not in error


def test_an_operating_system_error_that_no_command_explains_is_one_line(run, monkeypatch):
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr("tallystick.localplane.build.find_binaries", fail)

    assert run("build-plane") == (
        1,
        "error: /some/file: Permission denied; check the path, its permissions and the space on its disk\n",
    )


def test_what_up_prints_can_be_pasted_into_a_shell(monkeypatch, capsys, tmp_path):
    kubeconfig = tmp_path / "it's a $folder" / "kubeconfig"

    @contextmanager
    def started(*_: object):
        yield SimpleNamespace(kubeconfig=kubeconfig, ca_file=tmp_path / "ca.crt")

    monkeypatch.setattr("tallystick.cli.up.up", started)
    monkeypatch.setattr("tallystick.cli.up.stay_up", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["tallystick", "up"])
    with pytest.raises(SystemExit):
        main()

    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("export ")]
    assert shlex.split(line) == ["export", f"KUBECONFIG={kubeconfig}"]


def test_help_and_version_import_nothing_that_only_the_commands_need():
    """One process prints all of them, since each start of Python takes half a second. It names the first culprit."""
    code = f"""
import contextlib, io, sys
import typer
from tallystick.cli.main import app, main

def commands(command, path):
    yield path
    for name, inner in getattr(command, "commands", {{}}).items():
        yield from commands(inner, (*path, name))

lines = [("--version",), ("nosuch",), *((*path, "--help") for path in commands(typer.main.get_command(app), ()))]
for line in lines:
    sys.argv = ["tallystick", *line]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as said:
        with contextlib.redirect_stderr(said):
            main()
    print(*line, [name for name in {HEAVY} if name in sys.modules], len(said.getvalue()) > 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    lines = [("--version",), ("nosuch",), *((*path, "--help") for path in product.commands())]
    assert sorted(done.stdout.splitlines()) == sorted(f"{' '.join(line)} [] True" for line in lines)


def test_the_command_line_has_the_flags_and_commands_of_each_feature():
    features = [feature for feature in FEATURES if feature.flags or feature.commands or feature.command_groups]

    assert [(line.flags, line.commands, line.groups) for line in COMMAND_LINES] == [
        (feature.flags, feature.commands, feature.command_groups) for feature in features
    ]


def test_each_text_file_is_read_and_written_as_utf_8():
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                given = {keyword.arg for keyword in node.keywords}
                program = node.func.attr in {"run", "Popen"} and "text" in given
                if (program or node.func.attr in {"read_text", "write_text"}) and "encoding" not in given:
                    found.append(f"{path.name}:{node.lineno}")

    assert found == []
