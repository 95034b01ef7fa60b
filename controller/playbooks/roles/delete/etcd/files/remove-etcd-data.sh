#!/bin/sh
# remove-etcd-data.sh FOLDER: what etcd and a restore of kk left there, and the folder where nothing else is in it.
set -e
rm -rf "$1"/member "$1"/.restore "$1"/before-restore-*
rmdir "$1" 2>/dev/null || true
