#!/usr/bin/env bash
# The web interface: the types of its modules, and its journeys in a real Chromium against the real
# program. Arguments are files of journeys: `tests/web/run.sh journeys/first_run.test.mjs`.
set -euo pipefail
cd "$(dirname "$0")"

missing=()
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
[ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "the web interface cannot be tested: ${missing[*]} is not there" >&2
    exit 1
  fi
  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
fi

# Exactly what the lock file names, once for each state of it.
if ! cmp -s package-lock.json node_modules/.installed; then
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.installed
fi

npm run --silent types

cargo build --locked --quiet

# Nothing that hangs holds up the rest.
files=("$@")
[ ${#files[@]} -gt 0 ] || files=(journeys/*.test.mjs)
timeout --foreground 1200 node --test --test-concurrency=1 --test-timeout=240000 --test-reporter=spec "${files[@]}"
