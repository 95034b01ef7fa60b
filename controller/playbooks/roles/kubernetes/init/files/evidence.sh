# Read by init.sh and join.sh: what kubeadm may show, and what there is to see when it failed.

# What kubeadm prints names the token and the key.
masked() { sed -u -E 's/\b[a-z0-9]{6}\.[a-z0-9]{16}\b/(token)/g; s/\b[0-9a-f]{64}\b/(key)/g'; }

# telling LINES: the last so many of a log's lines, without their times, each once.
telling() {
  sed -E 's/^[EFWI][0-9]{4} [0-9:.]+ +[0-9]+ //' | awk '!seen[substr($0, 1, 90)]++' | tail -n "$1" | cut -c1-300
}

# evidence COMMAND SAID BEGUN: of what kubeadm COMMAND said, of the kubelet and of the static pods, the lines that may say why. What
# they said before the file BEGUN was written tells nothing of this try.
evidence() {
  echo "kubeadm $1 says:"
  grep -vE '^[[:space:]]*$|^To see the stack trace|^\[(certs|kubeconfig|preflight)\] (Using|Generat|Writing|Pulling)' "$2" | tail -n 6 | cut -c1-400
  echo "the kubelet (journalctl -u kubelet):"
  journalctl -u kubelet --output cat --no-pager --since "@$(stat -c %Y "$3")" --lines 400 2>/dev/null >"$2.kubelet"
  # Over and over: what it ends with, and what it complains of.
  grep -E '^F[0-9]{4}' "$2.kubelet" | telling 2
  grep -E '^E[0-9]{4}|rror|ailed' "$2.kubelet" | grep -vE '^F[0-9]{4}' | telling 4
  for name in etcd kube-apiserver; do
    log=$(ls -t /var/log/pods/kube-system_$name-*/*/*.log 2>/dev/null | head -n 1)
    [ -n "$log" ] && [ "$log" -nt "$3" ] || continue
    echo "$name ($log):"
    tail -n 2 "$log" | cut -c1-300
  done
}
