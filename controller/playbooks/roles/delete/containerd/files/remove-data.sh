# Removes what a containerd kept that is gone; prints the folders. One that is still there is somebody else's, and so are its data.
# $1: folder of programs  $2: where it kept them  $3: its socket
export PATH="$1:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
command -v containerd >/dev/null && exit 0
# Containers outlive their containerd; nobody could reach these any more.
for process in /proc/[0-9]*; do
  case "$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)" in
    *containerd-shim*" -address $3 "*)
      for child in $(cat "$process"/task/*/children 2>/dev/null); do kill -KILL "$child"; done
      kill -KILL "${process#/proc/}" && printf 'shim %s\n' "${process#/proc/}"
      ;;
  esac
done
# Whatever it has left mounted, the deepest first.
awk -v a="$2/" -v b=/run/containerd/ 'index($5, a) == 1 || index($5, b) == 1 { print length($5), $5 }' /proc/self/mountinfo |
  sort -rn | cut -d ' ' -f 2- | while read -r path; do
    path=$(printf '%b' "$path")
    timeout -s KILL 20 umount "$path" 2>/dev/null || timeout -s KILL 20 umount -c -l "$path"
  done
# By their names: the folder may be a disk that holds what is somebody else's.
for folder in "$2"/io.containerd.* "$2"/tmpmounts /run/containerd; do
  [ -e "$folder" ] || continue
  rm -rf --one-file-system "$folder"
  printf '%s\n' "$folder"
done
rmdir "$2" /etc/cni/net.d /etc/cni 2>/dev/null
exit 0
