#!/usr/bin/env bash
# Runs second_reader.py with its libraries, in a folder of their own below target/.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${LARDER_TEST_PYTHON:-}
if [ -z "$python" ]; then
  target=$here/../target
  venv=$target/test-venv
  mkdir -p "$target"
  (
    # Several tests may start at once.
    flock 9
    if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
      python3 -m venv "$venv"
      "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
      cp "$here/requirements.txt" "$venv/installed.txt"
    fi
  ) 9>"$target/test-venv.lock" >&2
  python=$venv/bin/python
fi
exec "$python" "$here/second_reader.py" "$@"
