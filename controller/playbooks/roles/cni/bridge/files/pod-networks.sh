# Which part of the pods' network each node has got, once all have: a line `name|CIDRs|addresses` for each. Kubernetes gives them out in
# the order in which nodes join, so they are asked for and never computed.
# $1: kubectl  $2: how many nodes there are at least  $3: seconds to wait
end=$(($(date +%s) + $3))
what='{range .items[*]}{.metadata.name}|{.spec.podCIDRs[*]}|{.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}'
while :; do
  # While a control plane joins or leaves, single calls fail.
  lines=$("$1" --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s get nodes -o "jsonpath=$what" 2>&1)
  rc=$?
  if [ $rc -eq 0 ] && [ "$(printf '%s\n' "$lines" | grep -c '|..*|..')" -ge "$2" ] && ! printf '%s\n' "$lines" | grep -q '||'; then
    printf '%s\n' "$lines" | sort
    exit 0
  fi
  [ "$(date +%s)" -lt "$end" ] || break
  sleep 1
done
echo "Not every node has a part of the pods' network after $3 s; the controller manager gives them out (--allocate-node-cidrs)." >&2
echo "Wanted: $2 nodes. The API server said:" >&2
printf '%s\n' "$lines" >&2
exit 1
