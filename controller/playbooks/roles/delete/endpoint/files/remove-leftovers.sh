#!/bin/sh
# The package stays: nobody remembers whether it was there before.
set -e
systemctl disable --quiet --now kk-haproxy.service || true
rm -rf /etc/kk-haproxy
# Last: its absence says that all is done.
rm -f /etc/systemd/system/kk-haproxy.service
systemctl daemon-reload
