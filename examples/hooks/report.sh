#!/bin/sh
# Runs on every node after the play "install".
set -eu
cat /etc/kk-ready
