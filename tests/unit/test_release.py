"""One version for package, image and chart; workflows that run nothing unpinned; scripts that say what is wrong."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import tallystick

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = REPOSITORY / ".github" / "scripts"
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
# Of an action, a digest is the only name that its owner cannot move. The comment says the version, for people.
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def steps_of(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / name))


def version_of(tag: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPTS / "version.py", tag], capture_output=True, text=True, check=False)


def test_package_image_and_chart_have_one_version():
    assert set(script("version.py")["versions"](REPOSITORY).values()) == {tallystick.__version__}


def test_a_tag_of_that_version_is_accepted_and_any_other_names_the_places():
    right, wrong = version_of(f"v{tallystick.__version__}"), version_of("v99.0.0")

    assert right.stdout == f"version={tallystick.__version__}\n"
    assert wrong.returncode != 0
    assert "operator/tallystick/__init__.py" in wrong.stderr
    assert "helm/tallystick/Chart.yaml (appVersion)" in wrong.stderr


def test_a_tag_without_a_v_is_rejected():
    done = version_of(tallystick.__version__)

    assert done.returncode != 0
    assert "vX.Y.Z" in done.stderr


CHANGELOG = "# Changelog\n\n## Unreleased\n\n- next\n\n## [1.10.0] - 2026-12-01\n\n- ten\n\n## 1.1.0\n\n- one\n"


@pytest.mark.parametrize(
    ("version", "notes"), [("1.10.0", "- ten"), ("1.1.0", "- one"), ("1.1", ""), ("1.10", ""), ("2.0.0", "")]
)
def test_the_notes_of_a_release_are_its_section_of_the_changelog(version: str, notes: str):
    assert script("notes.py")["notes_of"](CHANGELOG, version) == notes


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_each_action_is_pinned_by_its_digest(workflow: Path):
    used = [line.split("uses:", 1)[1].strip() for line in workflow.read_text().splitlines() if "uses:" in line]

    assert used
    assert [action for action in used if not PINNED.fullmatch(action)] == []


def test_one_action_has_one_digest_everywhere():
    used = {step["uses"] for workflow in WORKFLOWS for step in steps_of(workflow) if "uses" in step}

    assert len(used) == len({action.split("@")[0] for action in used})


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_unless_a_job_says_more(workflow: Path):
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_no_expression_stands_in_a_script_where_a_name_could_become_code(workflow: Path):
    scripts = [step["run"] for step in steps_of(workflow) if "run" in step]

    # The values of our own matrix are no input of others.
    assert [text for text in scripts if "${{" in re.sub(r"\$\{\{ matrix\.\w+ \}\}", "", text)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_each_script_and_target_of_a_workflow_exists(workflow: Path):
    text = "\n".join(step["run"] for step in steps_of(workflow) if "run" in step)
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))

    for name in re.findall(r"\.github/scripts/([\w.-]+)", text):
        assert (SCRIPTS / name).stat().st_mode & 0o111, name
    assert set(re.findall(r"\bmake ([a-z0-9-]+)", text)) <= targets


def fake(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


DIGEST = f"sha256:{'a1' * 32}"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    fake(tmp_path, "cosign", f'echo "$@" >> {tmp_path}/signed')
    return tmp_path


def push(programs: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / "push-chart.sh", "tallystick-1.0.0.tgz", "registry.example/charts"],
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_chart_is_signed_by_the_digest_that_helm_pushed(programs: Path):
    answers = f'echo "Pushed: registry.example/charts/tallystick:1.0.0" >&2; echo "Digest: {DIGEST}" >&2'
    fake(programs, "helm", f'case "$1" in show) echo "name: tallystick" ;; push) {answers} ;; esac')

    assert push(programs).returncode == 0
    assert (programs / "signed").read_text() == f"sign --yes registry.example/charts/tallystick@{DIGEST}\n"


@pytest.mark.parametrize("answer", ["exit 1", "echo pushed", 'echo "Digest: sha256:short" >&2'])
def test_a_chart_that_was_not_pushed_is_not_signed(programs: Path, answer: str):
    fake(programs, "helm", f'case "$1" in show) echo "name: tallystick" ;; push) {answer} ;; esac')

    assert push(programs).returncode != 0
    assert not (programs / "signed").exists()
