#!/bin/sh
# Runs after prepare.sh, on the nodes of the group etcd.
set -eu
mkdir -p /var/lib/etcd
chmod 0700 /var/lib/etcd
