#!/bin/sh
# snapshot-etcd.sh BIN SOCKET DATA FOLDER KEEP: what kubeadm's own member of etcd on this node holds, as a file in FOLDER, of which
# the newest few stay. etcdctl is in the image of etcd; it is run there, with the folder of the data as the place that both see.
set -u
PATH=$1:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
data=$3
folder=$4
keep=$5
pki=/etc/kubernetes/pki/etcd
part=.kk-snapshot.db
umask 077
c() { timeout 120 ctr --address "$socket" --namespace k8s.io "$@" </dev/null; }
socket=$2

failed() {
  {
    echo "ETCD_NO_SNAPSHOT: the members of etcd are about to change, and no snapshot of it could be taken before: $1. Nothing was changed."
    echo "Mend that on this node (crictl ps --name etcd, df -h $folder), then go on with \`apply --resume\`."
  } >&2
  rm -f "$data/$part"
  exit 1
}

work=$(c tasks ls 2>&1) || failed "containerd does not say what runs ($(echo "$work" | tail -n 1 | cut -c1-200))"
etcd=
for id in $(c containers ls -q 'labels."io.kubernetes.container.name"==etcd'); do
  if echo "$work" | grep -qE "^$id +[0-9]+ +RUNNING"; then etcd=$id; fi
done
[ -n "$etcd" ] || failed "etcd does not run"

# A tool that was ended in the middle has left its own part beside.
rm -f "$data/$part" "$data/$part.part"
said=$(c tasks exec --exec-id "kk-snapshot-$$" "$etcd" etcdctl --endpoints https://127.0.0.1:2379 --cacert "$pki/ca.crt" \
  --cert "$pki/healthcheck-client.crt" --key "$pki/healthcheck-client.key" snapshot save "$data/$part" 2>&1) ||
  failed "etcdctl says $(echo "$said" | tail -n 1 | cut -c1-300)"
[ -s "$data/$part" ] || failed "etcdctl has written nothing"

mkdir -p "$folder" || failed "$folder cannot be made"
name=etcd-$(date -u +%Y%m%dT%H%M%SZ).db
# The folder may be on another disk: under its own name only when it is there whole.
cp "$data/$part" "$folder/.$name.part" && sync && mv "$folder/.$name.part" "$folder/$name" || {
  rm -f "$folder/.$name.part"
  failed "it cannot be kept in $folder"
}
rm -f "$data/$part"
# The newest have the greatest names.
find "$folder" -maxdepth 1 -name 'etcd-*.db' -printf '%f\n' | sort -r | tail -n "+$((keep + 1))" |
  while read -r old; do rm -f "$folder/$old"; done
echo "$folder/$name"
