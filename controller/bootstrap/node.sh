# Shared by the join script and the SSH step: what a machine must have, and how it gets the agent. POSIX sh.
# Before this come the values: KK_ENDPOINTS, KK_PIN, KK_AGENTS, KK_MAX_SKEW (controller/bootstrap/render.ts).
# Every failure reads `kk: CODE: what` and `  do: the remedy` on stderr (shared/error-text.ts), with exit status 1.

KK_LIBRARY=/usr/local/lib/kk-agent
KK_STATE=/var/lib/kk-agent
# A login without a profile may not have these.
PATH=$PATH:/usr/sbin:/sbin
kk_saw=
kk_work=

kk_say() { printf 'kk: %s\n' "$1" >&2; }

# code, message, remedy; $kk_saw is the evidence.
kk_fail() {
  printf 'kk: %s: %s\n' "$1" "$2" >&2
  [ -z "$kk_saw" ] || printf '%s\n' "$kk_saw" | sed 's/^/  saw: /' >&2
  printf '  do: %s\n' "$3" >&2
  exit 1
}

kk_has() { command -v "$1" >/dev/null 2>&1; }

kk_clean() { [ -z "$kk_work" ] || rm -rf "$kk_work"; }

kk_check_machine() {
  [ "$(id -u)" = 0 ] || kk_fail NOT_ROOT 'Joining needs root.' 'Run the line again as root, for example with `| sudo KK_JOIN_TOKEN=... sh`.'
  [ "$(uname -s)" = Linux ] || kk_fail OS_UNSUPPORTED "This is $(uname -s), not Linux." 'Use a Linux machine.'
  kk_check_architecture
  kk_check_libc
  if [ ! -d /run/systemd/system ] || ! kk_has systemctl; then
    kk_fail NO_SYSTEMD 'This machine was not started by systemd.' 'Use a machine (or a virtual one) that runs systemd; a plain container or a chroot cannot be a node.'
  fi
  for kk_tool in gzip sha256sum df mktemp sed; do
    kk_has "$kk_tool" || kk_fail TOOL_MISSING "There is no $kk_tool." "Install $kk_tool with the package manager."
  done
  kk_find_fetcher
}

# Sets kk_arch, kk_gz, kk_gz_size, kk_binary, kk_binary_size from the table of agents.
kk_check_architecture() {
  kk_machine=$(uname -m)
  case $kk_machine in
    x86_64 | amd64) kk_arch=x64 ;;
    aarch64 | arm64) kk_arch=arm64 ;;
    *) kk_fail ARCH_UNSUPPORTED "This machine is $kk_machine." 'Use an x86_64 or an aarch64 machine.' ;;
  esac
  if [ "$(getconf LONG_BIT 2>/dev/null || echo 64)" = 32 ]; then
    kk_fail ARCH_UNSUPPORTED "The kernel is $kk_machine, but the system on it is a 32-bit one." 'Install a 64-bit system.'
  fi
  kk_row=$(printf '%s\n' "$KK_AGENTS" | sed -n "s/^$kk_arch //p")
  [ -n "$kk_row" ] || kk_fail ARCH_UNSUPPORTED "The controller has no agent for $kk_machine ($kk_arch)." "On the controller: npm run package-agent -- --arch $kk_arch."
  # shellcheck disable=SC2086 # four words
  set -- $kk_row
  kk_gz=$1 kk_gz_size=$2 kk_binary=$3 kk_binary_size=$4
}

# The agent's runtime is built for glibc 2.28 (RHEL 8, Debian 10, Ubuntu 20.04, openEuler 20.03 and later).
kk_check_libc() {
  kk_libc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p')
  [ -n "$kk_libc" ] || kk_libc=$(ldd --version 2>/dev/null | sed -n '1s/.*[^0-9.]\([0-9][0-9]*\.[0-9][0-9]*\)[^ ]*$/\1/p')
  if [ -z "$kk_libc" ]; then
    kk_ldd=$(ldd --version 2>&1)
    for kk_file in /lib/ld-musl-*; do [ ! -e "$kk_file" ] || kk_ldd=musl; done
    case $kk_ldd in
      *musl*) kk_fail LIBC_MUSL 'The C library of this machine is musl.' 'Use a distribution with glibc; Alpine cannot be a node.' ;;
    esac
    kk_fail LIBC_OLD 'Neither getconf nor ldd tells the version of the C library.' 'Use a distribution with glibc 2.28 or later.'
  fi
  kk_major=${kk_libc%%.*}
  kk_minor=${kk_libc#*.}
  kk_minor=${kk_minor%%[!0-9]*}
  if [ "$kk_major" -lt 2 ] || { [ "$kk_major" -eq 2 ] && [ "$kk_minor" -lt 28 ]; }; then
    kk_fail LIBC_OLD "This machine has glibc $kk_libc; the agent needs 2.28." 'Use a later release of the distribution (RHEL 8, Debian 10, Ubuntu 20.04, openEuler 20.03 or newer).'
  fi
}

# Sets kk_fetcher: curl, wget (GNU, with a pinned key), wget-unpinned (GNU before 1.18: its download is only
# believed by the sha256 that this script brings), busybox or none.
kk_find_fetcher() {
  kk_fetcher=none
  if kk_has curl; then
    kk_fetcher=curl
  elif kk_has wget; then
    case $(wget --version 2>/dev/null </dev/null) in
      *'GNU Wget'*)
        kk_fetcher=wget-unpinned
        case $(wget --help 2>/dev/null </dev/null) in *--pinnedpubkey*) kk_fetcher=wget ;; esac
        ;;
      *) kk_fetcher=busybox ;;
    esac
  fi
}

# url, file, file for the headers. Proxies of the environment are ignored, unless KK_PROXY names one. The proxy goes by
# the environment, for its address may hold a password.
kk_get() {
  case $kk_fetcher in
    curl)
      set -- "$1" "$2" "$3" -fsS -k --pinnedpubkey "sha256//$KK_PIN" --connect-timeout 10 --speed-limit 1000 --speed-time 30
      [ -n "${KK_PROXY-}" ] || set -- "$@" --noproxy '*'
      kk_url=$1 kk_file=$2 kk_headers=$3
      shift 3
      https_proxy=${KK_PROXY-} curl "$@" -o "$kk_file" -D "$kk_headers" "$kk_url" </dev/null
      ;;
    wget | wget-unpinned)
      set -- "$1" "$2" "$3" -nv -S -T 15 -t 2 --no-check-certificate
      [ "$kk_fetcher" != wget ] || set -- "$@" "--pinnedpubkey=sha256//$KK_PIN"
      [ -n "${KK_PROXY-}" ] || set -- "$@" --no-proxy
      kk_url=$1 kk_file=$2 kk_headers=$3
      shift 3
      https_proxy=${KK_PROXY-} wget "$@" -O "$kk_file" "$kk_url" </dev/null 2>"$kk_headers" || {
        kk_status=$?
        grep -v '^  ' "$kk_headers" >&2
        return "$kk_status"
      }
      ;;
  esac
}

# Finds the first endpoint that answers with the right key: kk_endpoint, and its clock: kk_date. When none does,
# kk_endpoint is empty, kk_saw tells why, and kk_away is `yes` when nobody was there at all (rather than refused).
kk_find_endpoint() {
  kk_endpoint='' kk_date='' kk_away=yes kk_saw=''
  for kk_try in $KK_ENDPOINTS; do
    kk_error=$(kk_get "$kk_try/join.sh" /dev/null "$kk_work/headers" 2>&1) && {
      kk_endpoint=$kk_try
      kk_date=$(tr -d '\r' <"$kk_work/headers" | sed -n 's/^ *[Dd]ate: //p' | tail -n 1)
      kk_saw=
      return
    }
    case $?,$kk_fetcher in
      5,curl | 6,curl | 7,curl | 28,curl | 4,wget*) ;;
      *) kk_away=no ;;
    esac
    kk_saw="$kk_saw$kk_try: $kk_error
"
  done
}

# `Sat, 21 Nov 2026 07:49:28 GMT` as seconds since 1970, by arithmetic: not every `date` reads it.
kk_seconds_of() {
  # shellcheck disable=SC2086,SC2046 # into words on purpose
  set -- $(printf '%s' "$1" | sed -n 's/^[A-Za-z]*, *0*\([0-9]*\) \([A-Za-z]*\) \([0-9]*\) 0*\([0-9][0-9]*\):0*\([0-9][0-9]*\):0*\([0-9][0-9]*\) GMT.*/\1 \2 \3 \4 \5 \6/p')
  [ $# = 6 ] || return 0
  case $2 in
    Jan) kk_m=1 ;; Feb) kk_m=2 ;; Mar) kk_m=3 ;; Apr) kk_m=4 ;; May) kk_m=5 ;; Jun) kk_m=6 ;;
    Jul) kk_m=7 ;; Aug) kk_m=8 ;; Sep) kk_m=9 ;; Oct) kk_m=10 ;; Nov) kk_m=11 ;; Dec) kk_m=12 ;;
    *) return 0 ;;
  esac
  kk_a=$(((14 - kk_m) / 12))
  kk_y=$(($3 + 4800 - kk_a))
  kk_m=$((kk_m + 12 * kk_a - 3))
  kk_day=$(($1 + (153 * kk_m + 2) / 5 + 365 * kk_y + kk_y / 4 - kk_y / 100 + kk_y / 400 - 2472633))
  echo $((kk_day * 86400 + $4 * 3600 + $5 * 60 + $6))
}

# The controller's time in seconds since 1970; empty: unknown, nothing to compare with.
kk_check_clock() {
  [ -n "$1" ] || return 0
  kk_off=$(($(date +%s) - $1))
  kk_word=ahead
  [ "$kk_off" -ge 0 ] || { kk_off=$((-kk_off)) kk_word=behind; }
  [ "$kk_off" -le "$KK_MAX_SKEW" ] || kk_fail CLOCK_SKEW "This machine's clock is $kk_off seconds $kk_word of the controller's: $(date -u '+%Y-%m-%d %H:%M:%S') UTC here." 'Set the clock (`chronyc makestep`, or `timedatectl set-ntp true`) here or on the controller, whichever is wrong, and join again.'
}

# folder, bytes. The nearest folder that exists is asked.
kk_check_space() {
  kk_folder=$1
  while [ ! -d "$kk_folder" ]; do kk_folder=$(dirname "$kk_folder"); done
  # shellcheck disable=SC2046 # into words on purpose
  set -- $(df -Pk "$kk_folder" | tail -n 1) "$2"
  eval "kk_need=\$((\${$#} / 1048576 + 1))"
  kk_free=$(($4 / 1024))
  [ "$kk_free" -ge "$kk_need" ] || kk_fail DISK_FULL "$kk_folder has $kk_free MB free; $kk_need MB are needed." "Make room in the file system of $kk_folder and join again."
}

kk_digest() {
  # shellcheck disable=SC2046 # the first word is the digest
  set -- $(sha256sum <"$1")
  echo "$1"
}

# A folder beside the agent's place: the same file system, and never mounted noexec as /tmp may be.
kk_prepare() {
  trap kk_clean EXIT
  trap 'exit 129' HUP INT TERM
  kk_check_space "$KK_STATE" 52428800
  mkdir -p "$KK_LIBRARY"
  # What a try left that lost its power an hour ago or earlier.
  find "$KK_LIBRARY" -maxdepth 1 -name '.incoming.*' -mmin +60 -exec rm -rf {} + 2>/dev/null
  kk_work=$(mktemp -d "$KK_LIBRARY/.incoming.XXXXXX") || kk_fail NOT_WRITABLE "$KK_LIBRARY cannot be written." "Join a machine whose $KK_LIBRARY is not read-only."
}

# True when the agent in place is the one wanted; sets kk_agent.
kk_in_place() {
  kk_agent=$KK_LIBRARY/current/kk-agent
  [ -x "$kk_agent" ] && [ "$(kk_digest "$kk_agent")" = "$kk_binary" ]
}

# Room for the compressed and the unpacked agent, and some to spare.
kk_check_room() { kk_check_space "$KK_LIBRARY" $((kk_gz_size + kk_binary_size + 20000000)); }

# $kk_work/kk-agent.gz becomes kk_agent, if it is what the controller said it would send.
kk_unpack() {
  kk_got=$(kk_digest "$kk_work/kk-agent.gz")
  [ "$kk_got" = "$kk_gz" ] || {
    kk_saw="sha256 $kk_got instead of $kk_gz"
    kk_fail AGENT_FETCH_FAILED 'The agent arrived damaged.' 'Join again. If it happens again, something between this machine and the controller changes what it carries.'
  }
  kk_agent=$kk_work/kk-agent
  kk_saw=$(gzip -dc "$kk_work/kk-agent.gz" 2>&1 >"$kk_agent") || kk_fail DISK_FULL 'The agent could not be unpacked.' "Make room in the file system of $KK_LIBRARY and join again."
  rm -f "$kk_work/kk-agent.gz"
  chmod 755 "$kk_agent"
  kk_saw=$("$kk_agent" version 2>&1 </dev/null) || kk_fail AGENT_DOES_NOT_START 'The agent does not start on this machine.' "See what it said: a missing library, or $KK_LIBRARY on a file system mounted noexec."
  kk_saw=
}

# Token in kk_token (may be empty), name in $1, further options behind it. The agent does the rest and says so.
kk_install() {
  kk_name=$1
  shift
  [ -z "$kk_token" ] || set -- "$@" --token-stdin
  for kk_try in $kk_endpoint $KK_ENDPOINTS; do set -- "$@" --endpoint "$kk_try"; done
  printf '%s\n' "$kk_token" | "$kk_agent" install --name "$kk_name" "$@"
}
