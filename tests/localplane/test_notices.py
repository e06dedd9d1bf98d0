"""The licenses and notices of the Go modules in the wheel of the control plane."""

import json
from pathlib import Path

import pytest

from tallystick.localplane.errors import BinariesError
from tallystick.localplane.notices import RULE, modules_in, write_notices

LISTED = """\
/cache/kubectl: go1.26.8
\tpath\tk8s.io/kubernetes/cmd/kubectl
\tmod\tk8s.io/kubernetes\tv1.36.3\th1:a=
\tdep\tgolang.org/x/net\tv0.41.0\th1:b=
\tdep\tk8s.io/api\tv0.0.0
\t=>\tk8s.io/api\tv0.36.3\th1:c=
\tbuild\t-compiler=gc
"""
MODULES = ["golang.org/x/net@v0.41.0", "k8s.io/api@v0.36.3", "k8s.io/kubernetes@v1.36.3"]


def test_a_module_that_is_replaced_is_left_out():
    assert sorted(modules_in(LISTED)) == MODULES


class FakeGo:
    """A `go` that answers as the real one, and a cache with the three modules."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder, folder / "go"
        self.listed = folder / "listed"
        self.listed.write_text(LISTED)
        self.text("root", "LICENSE")
        self.text("root", "src/LICENSE-of-a-test")
        downloaded = []
        for module in MODULES:
            path, _, version = module.partition("@")
            self.text(module, "LICENSE")
            downloaded.append({"Path": path, "Version": version, "Dir": str(folder / module)})
        (folder / "downloaded").write_text("\n".join(json.dumps(one, indent=1) for one in downloaded))
        answers = f"version) cat {self.listed} ;; env) echo {folder}/root ;; mod) cat {folder}/downloaded ;;"
        self.program.write_text(f'#!/bin/sh\ncase "$1" in {answers} esac\n')
        self.program.chmod(0o755)

    def text(self, module: str, name: str) -> None:
        path = self.folder / module / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{module} {name}")

    def written(self) -> dict[str, str]:
        """The texts by module and name."""
        file = self.folder / "written"
        assert write_notices(file, [Path("kubectl")], self.program, {"PATH": "/usr/bin:/bin"}) == MODULES
        parts = file.read_text().split(f"{RULE}\n")[1:]
        return {name.strip(): text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.fixture
def go(tmp_path: Path) -> FakeGo:
    return FakeGo(tmp_path)


def test_each_module_and_go_have_their_texts(go: FakeGo):
    go.text(MODULES[0], "NOTICE.txt")
    go.text(MODULES[2], "third_party/forked/json/license.md")

    written = go.written()

    assert written.keys() == {
        "go LICENSE",
        *(f"{module} LICENSE" for module in MODULES),
        f"{MODULES[0]} NOTICE.txt",
        f"{MODULES[2]} third_party/forked/json/license.md",
    }
    assert written[f"{MODULES[0]} NOTICE.txt"] == f"{MODULES[0]} NOTICE.txt"


def test_code_and_what_is_not_compiled_are_no_texts(go: FakeGo):
    for name in ("license.go", "testdata/LICENSE", "vendor/x/LICENSE", "LICENSES/vendor/x/LICENSE"):
        go.text(MODULES[0], name)

    assert sorted(go.written()) == ["go LICENSE", *(f"{module} LICENSE" for module in MODULES)]


def test_a_module_without_a_license_is_named(go: FakeGo):
    (go.folder / MODULES[1] / "LICENSE").rename(go.folder / MODULES[1] / "TERMS")

    with pytest.raises(BinariesError, match=r"k8s\.io/api@v0\.36\.3 has no license"):
        go.written()


def test_a_program_without_a_list_of_modules_is_named(go: FakeGo):
    go.listed.write_text("kubectl: go1.26.8\n")

    with pytest.raises(BinariesError, match="kubectl has no list of its Go modules"):
        go.written()
