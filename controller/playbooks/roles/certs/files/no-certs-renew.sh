#!/bin/sh
set -e
systemctl disable --quiet --now kk-certs-renew.timer
systemctl stop kk-certs-renew.service || true
rm -f /etc/systemd/system/kk-certs-renew.service
# Last: its absence says that all is done.
rm -f /etc/systemd/system/kk-certs-renew.timer
systemctl daemon-reload
