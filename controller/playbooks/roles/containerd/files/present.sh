# Which containerd there is on this machine, as JSON: `path` empty where there is none, and its `version` as 1.7.13. $1: kk's own folder.
export PATH="$1:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
path=$(command -v containerd) || path=
version=
# Debian's says 1.6.20~ds1; what a package adds to upstream's three numbers is the package's own.
[ -z "$path" ] || version=$("$path" --version | grep -o '[0-9][0-9]*\.[0-9][0-9]*\.[0-9][0-9]*' | head -n 1)
printf '{"path":"%s","version":"%s"}\n' "$path" "$version"
