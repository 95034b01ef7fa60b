#!/bin/sh
# may-form.sh PEER BIN ENDPOINTS: may a member without data begin? PEER is its own address for peers, ENDPOINTS (words of one text)
# are those of the other members. Prints what its cluster is to it: `new` when nobody was at work yet, or the others wait for it
# still, `existing` when somebody has added it there. A member that was at work there and has lost its data must not begin: it
# would vote with an empty log. Nor may one begin anew beside members that were at work and have no quorum now.
set -u
peer=$1
etcdctl=$2/etcdctl
endpoints=$3
set -a
. /etc/etcd/etcdctl.env
set +a
unset ETCDCTL_ENDPOINTS

# Nobody listens there: known at once, where etcdctl would try until its time is over. Without bash it tries.
refused() {
  address=${1#https://}
  host=${address%:*}
  host=${host#\[}
  command -v bash >/dev/null && ! timeout 2 bash -c "exec 3<>/dev/tcp/${host%\]}/${address##*:}" 2>/dev/null
}

answers=$(mktemp -d) || exit 1
trap 'rm -rf "$answers"' EXIT

# Without a quorum nobody gives a list (it is linearizable since etcd 3.5), and no member on its first way up does. But one that has
# been up tells its status, and the port for peers tells without a quorum who has published addresses for clients: none has before
# the cluster was formed.
at_work() {
  "$etcdctl" --endpoints "$1" --dial-timeout 3s --command-timeout 5s endpoint status >/dev/null 2>&1 && return 0
  command -v curl >/dev/null || return 1
  curl -s --noproxy '*' --max-time 5 --cacert "${ETCDCTL_CACERT:-}" --cert "${ETCDCTL_CERT:-}" --key "${ETCDCTL_KEY:-}" \
    "${1%:*}:${peer##*:}/members" | grep -q '"clientURLs"'
}

list() { "$etcdctl" --endpoints "$1" --dial-timeout 3s --command-timeout 5s member list 2>/dev/null; }

ask() {
  refused "$1" && return
  # Once more: it may have come up meanwhile.
  list "$1" >"$2" || { at_work "$1" && { list "$1" >"$2" || echo "$1" >"$2.mute"; }; }
}

number=0
for endpoint in $endpoints; do
  number=$((number + 1))
  ask "$endpoint" "$answers/$number" &
done
wait
mute=$(cat "$answers"/*.mute 2>/dev/null)
rm -f "$answers"/*.mute
known=$(cat "$answers"/* 2>/dev/null | sort -u)
worked=
if grep -qsx 'ETCD_INITIAL_CLUSTER_STATE=existing' /etc/etcd/bootstrap.env; then worked=true; fi

begin() {
  if [ -z "$worked" ]; then
    echo new
    exit 0
  fi
  {
    echo "This member ($peer) was at work in a cluster, and its data are gone. No other member says now what is known of it there."
    echo 'Start etcd on the other members, until most of all are up (journalctl -u etcd), then apply again.'
    echo 'If the data of all members are gone: remove /etc/etcd/bootstrap.env on each and apply again, for a new and empty cluster, or'
    echo 'restore a snapshot (kk-controller etcd restore).'
  } >&2
  exit 1
}

if [ -z "$known" ]; then
  if [ -n "$mute" ]; then
    {
      echo "This member ($peer) has no data. Others were at work in a cluster and have no quorum, so nobody can say what it is there:"
      echo "$mute"
      echo 'Start etcd on the members that are down, until most of all are up (journalctl -u etcd), then apply again.'
    } >&2
    exit 1
  fi
  begin
fi
mine=$(echo "$known" | grep -F ", $peer," | head -n 1)
# Each line: id, status, name, addresses for peers, addresses for clients, learner. Who has never begun has told none for clients.
clients=$(echo "$mine" | awk -F', ' '{ print $5 }')
case $mine in
  *', unstarted, '*)
    echo existing
    exit 0
    ;;
  ?*)
    if [ -z "$clients" ]; then begin; fi
    ;;
esac
case $mine in
  '') why='does not list it' id= ;;
  *) why='lists it, but its data are gone' id=${mine%%,*} ;;
esac
{
  echo "The cluster of the other members $why ($peer):"
  echo "$known" | cut -c1-200
  echo 'On a member that is healthy, with the settings of /etc/etcd/etcdctl.env:'
  if [ -n "$id" ]; then echo "  etcdctl member remove $id"; fi
  echo "  etcdctl member add $(sed -n 's/^ETCD_NAME=//p' /etc/etcd/etcd.env 2>/dev/null || echo NAME) --peer-urls=$peer"
  echo 'then apply again.'
} >&2
exit 1
