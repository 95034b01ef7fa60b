# Read by init.sh and join.sh: what kubeadm may show, and what there is to see and to take back when it failed.

# What kubeadm prints names the token and the key.
masked() { sed -u -E 's/\b[a-z0-9]{6}\.[a-z0-9]{16}\b/(token)/g; s/\b[0-9a-f]{64}\b/(key)/g'; }

# only_looked SAID: kubeadm ended in its preflight, which changes nothing. That is just when the machine may hold what is not ours.
only_looked() { grep -qE '^(error: )?error execution phase preflight' "$1"; }

# telling LINES: the last so many of a log's lines, without their times, each once.
telling() {
  sed -E 's/^[EFWI][0-9]{4} [0-9:.]+ +[0-9]+ //' | awk '!seen[substr($0, 1, 90)]++' | tail -n "$1" | cut -c1-300
}

# evidence COMMAND SAID BEGUN: of what kubeadm COMMAND said, of the kubelet and of the static pods, the lines that may say why. What
# they said before the file BEGUN was written tells nothing of this try.
evidence() {
  echo "kubeadm $1 says:"
  grep -E '\[ERROR [A-Z]' "$2" | head -n 4 | cut -c1-400
  # Not what it advises (indented), nor what went well.
  grep -vE '^[[:space:]]|^$|\[ERROR [A-Z]|^To see the stack trace|^\[(certs|kubeconfig|preflight)\] (Using|Generat|Writing|Pulling|Running|If you know)|^\[init\] Using' "$2" |
    tail -n 4 | cut -c1-400
  for port in $(sed -nE 's/.*\[ERROR Port-([0-9]+)\].*/\1/p' "$2"); do
    ss -Hltnp "sport = :$port" 2>/dev/null | head -n 2
  done
  journalctl -u kubelet --output cat --no-pager --since "@$(stat -c %Y "$3")" --lines 400 2>/dev/null >"$2.kubelet"
  # Over and over: what it ends with, and what it complains of.
  {
    grep -E '^F[0-9]{4}' "$2.kubelet" | telling 2
    grep -E '^E[0-9]{4}|rror|ailed' "$2.kubelet" | grep -vE '^F[0-9]{4}' | telling 4
  } >"$2.told"
  [ ! -s "$2.told" ] || { echo "the kubelet (journalctl -u kubelet):" && cat "$2.told"; }
  for name in etcd kube-apiserver; do
    log=$(ls -t /var/log/pods/kube-system_$name-*/*/*.log 2>/dev/null | head -n 1)
    [ -n "$log" ] && [ "$log" -nt "$3" ] || continue
    echo "$name ($log):"
    tail -n 2 "$log" | cut -c1-300
  done
}
