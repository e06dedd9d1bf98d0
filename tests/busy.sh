#!/bin/sh
# Run a command beside busy loops, and end them with it:
#
#     tests/busy.sh 4 .venv/bin/python -m pytest tests/live/platform/test_examples.py
#
# A loop also ends by itself when this script is gone, even if it was killed.
set -eu
loops=$1
shift
pids=""
for _ in $(seq "$loops"); do
    while kill -0 $$ 2>/dev/null; do :; done &
    pids="$pids $!"
done
# Set after the loops have begun: a loop that inherits a trap may lose the signal that ends it.
trap 'kill $pids 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$@"
