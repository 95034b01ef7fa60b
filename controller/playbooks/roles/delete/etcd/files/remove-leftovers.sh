#!/bin/sh
# remove-leftovers.sh BIN
set -e
systemctl disable --quiet --now etcd.service etcd-backup.timer 2>/dev/null || true
# Of a member that is no control plane.
if grep -qs '^# Written by kk' /etc/systemd/system/kk-certs-renew.timer; then
  systemctl disable --quiet --now kk-certs-renew.timer || true
  systemctl stop kk-certs-renew.service || true
  rm -f /etc/systemd/system/kk-certs-renew.service /etc/systemd/system/kk-certs-renew.timer
fi
rm -rf /etc/etcd
rm -f "$1/etcd" "$1/etcdctl" "$1/etcdutl" "$1/etcd-backup"
rm -f /etc/systemd/system/etcd-backup.timer /etc/systemd/system/etcd-backup.service
# Last: its absence says that all is done.
rm -f /etc/systemd/system/etcd.service
systemctl daemon-reload
