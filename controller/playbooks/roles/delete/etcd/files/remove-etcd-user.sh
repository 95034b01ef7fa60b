#!/bin/sh
set -e
userdel etcd
if getent group etcd >/dev/null; then groupdel etcd; fi
