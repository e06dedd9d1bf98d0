#!/bin/sh
# Runs devices in the background, each with a folder of its own, and ends them.
#   fleet.sh start COUNT URL | fleet.sh stop | fleet.sh kill COUNT
set -eu
case $1 in
  start)
    for number in $(seq -f %02g 1 "$2"); do
      mkdir -p "devices/$number"
      tallystick agent --url "$3" --ca-file ca.crt --enrolment-token token \
        --state-dir "devices/$number/state" --name "cam-$number" > "devices/$number/log" 2>&1 &
      echo $! > "devices/$number/pid"
    done ;;
  kill) for number in $(seq -f %02g 1 "$2"); do kill -9 "$(cat "devices/$number/pid")"; done ;;
  stop) cat devices/*/pid | xargs kill ;;
esac
