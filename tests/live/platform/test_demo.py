"""`tallystick demo`: the first thing that a newcomer sees."""

import re
import subprocess
import sys

JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]+")


def test_the_demo_shows_the_main_workflow_in_steps_and_no_token() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tallystick", "demo"], capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\d+)\. ", done.stdout, flags=re.MULTILINE) == list("1234567")
    assert "has already been used" in done.stdout
    assert done.stdout.index('"active": true') < done.stdout.index('"active": false')
    assert not JWT.search(done.stdout + done.stderr)
