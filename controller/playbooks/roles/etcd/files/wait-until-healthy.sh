#!/bin/sh
# wait-until-healthy.sh SECONDS MEMBERS BIN: until so many members of this node's cluster answer that they are healthy; `self`:
# until this one does. Else says on stderr what etcd says, the lines of its journal that look like the reason, and what to do.
set -u
members=$2
scope=--cluster
if [ "$members" = self ]; then
  members=1
  scope=
fi
etcdctl=$3/etcdctl
set -a
. /etc/etcd/etcdctl.env
set +a

# The uptime, for the clock may be set meanwhile.
now() { cut -d. -f1 /proc/uptime; }
restarts() { systemctl show --property=NRestarts --value etcd.service; }

reasons() {
  journalctl --unit etcd.service --output cat --no-pager --lines 200 |
    grep -iE 'fatal|panic|error|fail|refused|mismatch|in use|cannot assign|x509|denied|no space|already been bootstrapped' |
    grep -vE 'grpc: addrConn|^etcd\.service: (Main process exited|Failed with result)|^Failed to start' |
    awk '!seen[$0]++' | tail -n 8 | cut -c1-400
}

advice() {
  case $1 in
    *'address already in use'*)
      echo 'Another program listens on a port of etcd: end it, or state another etcd.port or etcd.peer_port. Who listens:'
      ports=$(grep LISTEN /etc/etcd/etcd.env | grep -oE ':[0-9]+' | sort -u | tr '\n' '|')
      ss -Hltnp 2>/dev/null | grep -E "(${ports%|}) " | head -n 4
      ;;
    *'already been bootstrapped'*)
      echo 'The cluster knows this member, but its data are gone. On another member: etcdctl member list, etcdctl member remove ID,'
      echo 'then etcdctl member add with the same peer address; on this one write ETCD_INITIAL_CLUSTER_STATE=existing and start it.'
      ;;
    *'no space left'*) echo 'Make room in the data folder of etcd.' ;;
    *'quest sent was ignored'* | *'cluster ID mismatch'*)
      echo 'This member has data of another cluster. If nobody needs them, move them away and apply again.'
      ;;
  esac
}

end=$(($(now) + $1))
first=$(restarts)
why="after $1 s not all $members members of etcd were healthy"
while :; do
  # shellcheck disable=SC2086 # no word when there is no scope
  said=$("$etcdctl" endpoint health $scope 2>&1)
  [ "$(echo "$said" | grep -c 'is healthy')" -ge "$members" ] && break
  # It starts, and ends again: waiting will not mend that.
  if [ $(($(restarts) - first)) -ge 4 ]; then
    why="etcd ends again and again on this node"
    end=0
  fi
  if [ "$(now)" -ge "$end" ]; then
    found=$(reasons)
    {
      echo "$why; it says:"
      echo "$said" | grep -vE '^$|"level":"warn"' | tail -n 4 | cut -c1-300
      echo "and in its journal (journalctl -u etcd):"
      echo "$found"
      advice "$found"
    } >&2
    exit 1
  fi
  sleep 1
done
echo "$said"
