#!/bin/sh
# wait-for-nodes.sh BIN NODE...: until the cluster has an object for each, which the kubelet makes a moment after the join. Prints
# the nodes that it has besides.
set -u
kubectl=$1/kubectl
shift
now() { cut -d. -f1 /proc/uptime; }
end=$(($(now) + 120))
while :; do
  there=$("$kubectl" --kubeconfig /etc/kubernetes/admin.conf --request-timeout 20s get nodes --output name)
  missing=
  for node; do
    echo "$there" | grep -qxF "node/$node" || missing="$missing $node"
  done
  [ -n "$missing" ] || break
  if [ "$(now)" -ge "$end" ]; then
    echo "after two minutes the cluster does not know:$missing" >&2
    exit 1
  fi
  sleep 1
done
for node in $there; do
  case " $* " in
  *" ${node#node/} "*) ;;
  *) echo "${node#node/}" ;;
  esac
done
