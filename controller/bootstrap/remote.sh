# The SSH step's part on the node; run as root by controller/bootstrap/ssh-step.ts, which listens on the other end of
# the same connection. Lines on stdout for it:
#   KK-HAS arch|address VALUE   what was found out
#   KK-WANTS agent ARCH         send the compressed agent now
#   KK-WANTS token              send the token now, one line
#   KK-DONE                     the agent is installed and running
# $1: SSH_CONNECTION. Before this come KK_NOW (the controller's time) and KK_NAME as well.

# `client port server port`: where the controller is, as this node sees it. Behind a jump host it is another machine;
# then nobody there has the right key and the next endpoint is tried.
kk_controller_address() {
  kk_client=${1%% *}
  kk_server=${1#* * }
  [ -z "$kk_client" ] || printf 'KK-HAS address %s\n' "${kk_server%% *}"
  case $kk_client in
    '' | *%*) ;;
    *:*) KK_ENDPOINTS="https://[$kk_client]:$KK_PORT $KK_ENDPOINTS" ;;
    *) KK_ENDPOINTS="https://$kk_client:$KK_PORT $KK_ENDPOINTS" ;;
  esac
}

kk_obtain() {
  kk_check_room
  if [ -n "$kk_endpoint" ]; then
    kk_say "fetching the agent ($((kk_gz_size / 1000000)) MB) from $kk_endpoint"
    if kk_saw=$(kk_get "$kk_endpoint/agent/$kk_gz" "$kk_work/kk-agent.gz" "$kk_work/headers" 2>&1); then return 0; fi
  fi
  kk_saw=
  kk_say "taking the agent ($((kk_gz_size / 1000000)) MB) over ssh"
  printf 'KK-WANTS agent %s\n' "$kk_arch"
  head -c "$kk_gz_size" >"$kk_work/kk-agent.gz" || kk_fail DISK_FULL 'The agent could not be written.' "Make room in the file system of $KK_LIBRARY and bootstrap again."
}

kk_remote() {
  umask 022
  kk_controller_address "$1"
  kk_check_machine
  printf 'KK-HAS arch %s\n' "$kk_arch"
  kk_check_clock "$KK_NOW"
  kk_prepare
  kk_endpoint=
  case $kk_fetcher in
    curl | wget*)
      kk_find_endpoint
      if [ -z "$kk_endpoint" ] && [ "$kk_away" = yes ]; then
        kk_fail CONTROLLER_UNREACHABLE 'The node cannot open a connection to the controller.' 'Let the node reach the controller on this TCP port (firewall, routes), or name an address it can reach with `kk-controller serve --advertise`.'
      fi
      kk_saw=
      ;;
  esac
  if ! kk_in_place; then
    kk_obtain
    kk_unpack
  fi
  printf 'KK-WANTS token\n'
  IFS= read -r kk_token || exit 1
  kk_install "$KK_NAME" --rejoin </dev/null >&2 && printf 'KK-DONE\n'
}

kk_remote "$1"
