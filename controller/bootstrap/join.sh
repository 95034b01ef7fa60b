# The join script: served at /join.sh, run by `curl ... | KK_JOIN_TOKEN=... sh` (controller/bootstrap/join-script.ts).
# KK_JOIN_TOKEN  the token; when empty it is asked for on the terminal
# KK_NODE_NAME   the node's name; default: the machine's host name
# KK_REPLACE     1: a node of that name gives its identity up and joins anew, for one that was revoked
# KK_PROXY       fetch the agent through this proxy; the environment's proxies are ignored

# The token never is in an argument or in a child's environment.
kk_ask_token() {
  [ -z "$kk_token" ] || return 0
  # A machine with an agent may be a node already; then no token is needed, and the agent says so if it is.
  [ ! -e "$KK_LIBRARY/current" ] || return 0
  if ! (: </dev/tty) 2>/dev/null; then
    kk_fail TOKEN_MISSING 'There is no join token, and no terminal to ask for it.' 'Give it as KK_JOIN_TOKEN=... before `sh`; `kk-controller join-command` prints the whole line.'
  fi
  kk_stty=$(stty -g </dev/tty)
  trap 'stty "$kk_stty" </dev/tty; kk_clean' EXIT
  printf 'kk: join token (it is not shown): ' >/dev/tty
  stty -echo </dev/tty
  IFS= read -r kk_token </dev/tty
  stty "$kk_stty" </dev/tty
  trap kk_clean EXIT
  printf '\n' >/dev/tty
  [ -n "$kk_token" ] || kk_fail TOKEN_MISSING 'No join token was given.' 'Join again with a token from `kk-controller token create`.'
}

# All of it is in a function: a script that arrived in half does nothing.
kk_join() {
  umask 022
  kk_token=${KK_JOIN_TOKEN-}
  unset KK_JOIN_TOKEN
  kk_check_machine
  case $kk_fetcher in
    none) kk_fail CURL_MISSING 'There is neither curl nor GNU wget.' 'Install curl with the package manager.' ;;
    busybox) kk_fail CURL_MISSING 'There is no curl, and this wget is not GNU wget: it cannot check whom it speaks to.' 'Install curl with the package manager.' ;;
  esac
  kk_prepare
  kk_ask_token
  kk_find_endpoint
  [ -n "$kk_endpoint" ] || kk_fail CONTROLLER_UNREACHABLE 'The controller does not answer this machine.' 'Check that the controller runs (`kk-controller serve`) and that this machine may open TCP connections to it.'
  kk_saw=
  kk_check_clock "$(kk_seconds_of "$kk_date")"
  if ! kk_in_place; then
    kk_check_room
    kk_say "fetching the agent ($((kk_gz_size / 1000000)) MB) from $kk_endpoint"
    kk_saw=$(kk_get "$kk_endpoint/agent/$kk_gz" "$kk_work/kk-agent.gz" "$kk_work/headers" 2>&1) || kk_fail AGENT_FETCH_FAILED 'The agent could not be fetched.' 'Join again; a line from a controller that was updated since may be too old: make a new one with `kk-controller join-command`.'
    kk_unpack
  fi
  kk_own=$(uname -n | tr '[:upper:]' '[:lower:]')
  set --
  [ "${KK_REPLACE-}" != 1 ] || set -- --replace
  kk_install "${KK_NODE_NAME:-$kk_own}" "$@"
}

kk_join
