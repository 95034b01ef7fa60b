#!/bin/sh
# wait-until-ready.sh BIN VERSION TIME NODE...: until all are Ready with a kubelet of that version. Else says which is not, and why.
set -u
kubectl="$1/kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout 20s"
version=$2
case $3 in
  *ms) time=1 ;;
  *s) time=${3%s} ;;
  *m) time=$((${3%m} * 60)) ;;
  *h) time=$((${3%h} * 3600)) ;;
esac
shift 3
now() { cut -d. -f1 /proc/uptime; }
end=$(($(now) + time))
while :; do
  said=$($kubectl get nodes --output 'jsonpath={range .items[*]}{.metadata.name}{" "}{.status.conditions[?(@.type=="Ready")].status}{" "}{.status.nodeInfo.kubeletVersion}{" "}{.status.conditions[?(@.type=="Ready")].message}{"\n"}{end}' 2>&1)
  waiting=
  for node; do
    echo "$said" | grep -qF "$node True $version " || waiting="$waiting $node"
  done
  [ -n "$waiting" ] || exit 0
  if [ "$(now)" -ge "$end" ]; then
    {
      echo "not Ready with $version after $time s:"
      for node in $waiting; do
        echo "$said" | grep "^$node " || echo "$node is not there"
      done | head -n 8 | cut -c1-300
      echo "pods that do not run:"
      $kubectl get pods --all-namespaces --no-headers --field-selector status.phase!=Running,status.phase!=Succeeded 2>&1 | head -n 6 | cut -c1-200
    } >&2
    exit 1
  fi
  sleep 1
done
