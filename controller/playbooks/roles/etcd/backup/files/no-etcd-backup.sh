#!/bin/sh
set -e
systemctl disable --quiet --now etcd-backup.timer
rm -f /etc/systemd/system/etcd-backup.service
# Last: its absence says that all is done.
rm -f /etc/systemd/system/etcd-backup.timer
systemctl daemon-reload
