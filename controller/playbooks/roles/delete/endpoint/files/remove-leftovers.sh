#!/bin/sh
# The package stays: nobody remembers whether it was there before.
set -e
systemctl disable --quiet --now haproxy.service || true
rm -f /etc/haproxy/haproxy.cfg
