# Read by init.sh and join.sh: what kubeadm may show, and what there is to see when it failed.

# What kubeadm prints names the token and the key.
masked() { sed -u -E 's/\b[a-z0-9]{6}\.[a-z0-9]{16}\b/(token)/g; s/\b[0-9a-f]{64}\b/(key)/g'; }

# evidence COMMAND SAID BEGUN: of what kubeadm COMMAND said, of the kubelet and of the static pods, the lines that may say why. What
# they said before the file BEGUN was written tells nothing of this try.
evidence() {
  echo "kubeadm $1 says:"
  grep -vE '^[[:space:]]*$|^To see the stack trace|^\[(certs|kubeconfig|preflight)\] (Using|Generat|Writing|Pulling)' "$2" | tail -n 6 | cut -c1-400
  echo "the kubelet (journalctl -u kubelet):"
  journalctl -u kubelet --output cat --no-pager --since "@$(stat -c %Y "$3")" --lines 400 2>/dev/null | grep -E '^[EF][0-9]{4}|rror|ailed' |
    sed -E 's/^[EWIF][0-9]{4} [0-9:.]+ +[0-9]+ //' | awk '!seen[substr($0, 1, 90)]++' | tail -n 6 | cut -c1-300
  for name in etcd kube-apiserver; do
    log=$(ls -t /var/log/pods/kube-system_$name-*/*/*.log 2>/dev/null | head -n 1)
    [ -n "$log" ] && [ "$log" -nt "$3" ] || continue
    echo "$name ($log):"
    tail -n 2 "$log" | cut -c1-300
  done
}
