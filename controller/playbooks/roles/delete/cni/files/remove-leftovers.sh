#!/bin/sh
set -e
# It takes its routes and rules away as it stops.
systemctl disable --quiet --now kk-pod-routes.service || true
rm -f /usr/local/sbin/kk-pod-routes
# Last: its absence says that all is done.
rm -f /etc/systemd/system/kk-pod-routes.service
systemctl daemon-reload
