#!/bin/sh
# Runs on every node before the play "install".
set -eu
echo "$STAGE install on $NODE"
df -h /
