#!/bin/sh
# may-form.sh PEER BIN ENDPOINTS: may a member without data begin? PEER is its own address for peers, ENDPOINTS (words of one text)
# are those of the other members. Prints what its cluster is to it: `new` when nobody answers, or the others wait for it still,
# `existing` when somebody has added it there. A member that was at work there and has lost its data must not begin: it would
# vote with an empty log.
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
number=0
for endpoint in $endpoints; do
  number=$((number + 1))
  (refused "$endpoint" || "$etcdctl" --endpoints "$endpoint" --dial-timeout 3s --command-timeout 5s member list \
    >"$answers/$number" 2>/dev/null) &
done
wait
known=$(cat "$answers"/* 2>/dev/null | sort -u)
if [ -z "$known" ]; then
  echo new
  exit 0
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
    if [ -z "$clients" ]; then
      echo new
      exit 0
    fi
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
