#!/bin/sh
# remove-leftovers.sh BIN
set -e
systemctl disable --quiet --now etcd.service etcd-backup.timer 2>/dev/null || true
rm -rf /etc/etcd
rm -f "$1/etcd" "$1/etcdctl" "$1/etcdutl" "$1/etcd-backup"
rm -f /etc/systemd/system/etcd-backup.timer /etc/systemd/system/etcd-backup.service
# Last: its absence says that all is done.
rm -f /etc/systemd/system/etcd.service
systemctl daemon-reload
