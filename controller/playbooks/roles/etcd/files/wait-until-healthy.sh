#!/bin/sh
# wait-until-healthy.sh SECONDS MEMBERS BIN: until so many members of this node's cluster answer that they are healthy. Else says
# on stderr what etcd says, and the lines of its journal that look like the reason.
set -u
members=$2
etcdctl=$3/etcdctl
set -a
. /etc/etcd/etcdctl.env
set +a

# The uptime, for the clock may be set meanwhile.
now() { cut -d. -f1 /proc/uptime; }
restarts() { systemctl show --property=NRestarts --value etcd.service; }

end=$(($(now) + $1))
first=$(restarts)
why="after $1 s not all $members members of etcd were healthy"
while :; do
  said=$("$etcdctl" endpoint health --cluster 2>&1)
  [ "$(echo "$said" | grep -c 'is healthy')" -ge "$members" ] && break
  # It starts, and ends again: waiting will not mend that.
  if [ $(($(restarts) - first)) -ge 4 ]; then
    why="etcd ends again and again on this node"
    end=0
  fi
  if [ "$(now)" -ge "$end" ]; then
    {
      echo "$why; it says:"
      echo "$said" | grep -v '^$' | tail -n 4 | cut -c1-300
      echo "and in its journal (journalctl -u etcd):"
      journalctl --unit etcd.service --output cat --no-pager --lines 200 |
        grep -iE 'fatal|panic|error|fail|refused|mismatch|in use|denied|already been bootstrapped' | awk '!seen[$0]++' | tail -n 10 | cut -c1-400
    } >&2
    exit 1
  fi
  sleep 1
done
echo "$said"
