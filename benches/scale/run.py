#!/usr/bin/env python3
"""Measures larder on repositories that are larger than memory.

Makes a repository with the `scale` bench (index and manifest without data), then runs each step in
a memory cgroup of its own (v1 or v2; nested below this process's), or without one where none can
be made, and prints time, memory and page faults. Compare two programs by giving --larder twice:
each step then runs with both, one after the other, on the same repository.

    cargo build --release && cargo bench --bench scale --no-run
    benches/scale/run.py --scale target/release/deps/scale-HASH --larder target/release/larder \
        --chunks 10000000 --folder /var/tmp/scale
"""

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time

MIB = 1 << 20


class Cgroup:
    """A memory limit for one process."""

    def __init__(self, limit):
        self.limit = limit
        self.folder = None
        self.v1 = False
        for folder, v1 in candidates():
            folder = os.path.join(folder, f"larder-scale-{os.getpid()}")
            try:
                os.mkdir(folder)
                self.folder, self.v1 = folder, v1
                self.write("memory.limit_in_bytes" if v1 else "memory.max", limit)
                return
            except OSError:
                self.remove()

    def write(self, name, value):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(str(value))

    def enter(self):
        if self.folder:
            self.write("cgroup.procs", os.getpid())

    def peak(self):
        """Bytes of all that was charged, page cache too."""
        name = "memory.max_usage_in_bytes" if self.v1 else "memory.peak"
        try:
            with open(os.path.join(self.folder, name)) as file:
                return int(file.read())
        except (OSError, TypeError):
            return 0

    def remove(self):
        if self.folder:
            try:
                os.rmdir(self.folder)
            except OSError:
                pass
            self.folder = None


def candidates():
    """Where a cgroup might be made: below the one of this process."""
    with open("/proc/self/cgroup") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                yield "/sys/fs/cgroup/memory" + path.rstrip("/"), True
            elif controllers == "":
                yield "/sys/fs/cgroup" + path.rstrip("/"), False


def field(pid, name):
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def run(command, limit, env, log):
    """Runs a command; returns its figures."""
    group = Cgroup(limit) if limit else None
    started = time.monotonic()
    child = subprocess.Popen(
        command, env=env, stdout=log, stderr=log, preexec_fn=group.enter if group else None
    )
    most = {"anon": 0, "rss": 0}
    ended = threading.Event()

    def sample():
        while not ended.wait(0.01):
            most["anon"] = max(most["anon"], field(child.pid, "RssAnon"))
            most["rss"] = max(most["rss"], field(child.pid, "VmHWM"))

    sampler = threading.Thread(target=sample)
    sampler.start()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    ended.set()
    sampler.join()
    figures = {
        "seconds": seconds,
        "cpu": usage.ru_utime + usage.ru_stime,
        "anon": most["anon"],
        "rss": max(most["rss"], usage.ru_maxrss * 1024),
        "major": usage.ru_majflt,
        "minor": usage.ru_minflt,
        "charged": group.peak() if group else 0,
        "limited": bool(group and group.folder),
        "code": child.returncode,
    }
    if group:
        group.remove()
    return figures


def forget(*folders):
    """Takes files out of the page cache, so that every step starts cold and pays for its own."""
    subprocess.run(["sync"], check=True)
    for folder in folders:
        for parent, _, names in os.walk(folder):
            if parent.rstrip("/").rsplit("/", 2)[-2:][0] == "data":
                continue
            for name in names:
                try:
                    fd = os.open(os.path.join(parent, name), os.O_RDONLY)
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                    os.close(fd)
                except OSError:
                    pass


def steps(args, repo, cache, source):
    """Name, arguments, and whether the local cache is removed before."""
    larder = ["-r", repo, "--cache-dir", cache + "/larder"]
    lookup = ["lookup", "--repo", repo, "--cache", cache + "/larder", "--chunks", str(args.chunks)]
    yield "first open", "larder", larder + ["ls", "latest:/home", "--host", "scale"], True
    yield "open", "scale", ["open"] + lookup[1:5], False
    yield "list a folder", "larder", larder + ["ls", "latest:/home", "--host", "scale"], False
    yield "look up known ids", "scale", lookup + ["--count", str(args.known)], False
    yield "look up unknown ids", "scale", lookup + ["--count", str(args.unknown), "--unknown"], False
    yield "check", "larder", larder + ["check"], False
    yield "small backup", "larder", larder + ["backup", source], False
    yield "plan a prune", "larder", larder + ["prune", "--dry-run"], False


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scale", required=True, help="the scale bench program")
    parser.add_argument("--larder", required=True, action="append", help="may be given twice")
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, help="default: a tenth of the chunks")
    parser.add_argument("--runs", type=int, default=1, help="runs that the index consists of")
    parser.add_argument("--delta-packs", type=int, default=0, help="packs named by deltas")
    parser.add_argument("--password-file", help="encrypts the repository")
    parser.add_argument("--limit", type=int, default=512, help="MiB; 0 sets none")
    parser.add_argument("--known", type=int, default=200_000, help="look-ups of known ids")
    parser.add_argument("--unknown", type=int, default=10_000_000, help="look-ups of others")
    parser.add_argument("--only", action="append", help="steps to run, by their first words")
    parser.add_argument("--keep", action="store_true", help="keep the repository, and use it")
    parser.add_argument("--folder", required=True, help="where the repository is made")
    args = parser.parse_args()
    args.files = args.files or -(-args.chunks // 10)
    repo = os.path.join(args.folder, f"repo-{args.chunks}-{args.files}-{args.runs}")
    cache = os.path.join(args.folder, "cache")
    source = os.path.join(args.folder, "source")
    os.makedirs(source, exist_ok=True)
    for number in range(100):
        with open(os.path.join(source, f"file-{number}"), "wb") as file:
            file.write(os.urandom(20_000))
    env = dict(os.environ, HOME=args.folder, LARDER_STATE_DIR=cache + "/state")
    if args.password_file:
        env["LARDER_PASSWORD_FILE"] = args.password_file
    secret = ["--password-file", args.password_file] if args.password_file else []
    log = open(os.path.join(args.folder, "log"), "a")
    print(f"{args.chunks:,} chunks, {args.files:,} files, limit {args.limit or 'none'} MiB")
    header = ("step", "program", "s", "CPU s", "anon MiB", "RSS MiB", "charged MiB", "major", "minor")
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))

    def show(name, program, figures):
        failed = "" if figures["code"] == 0 else f" (exit {figures['code']})"
        free = "" if figures["limited"] or not args.limit else " (no cgroup)"
        numbers = [f"{figures['seconds']:.2f}", f"{figures['cpu']:.2f}"]
        numbers += [f"{figures[key] / MIB:.0f}" for key in ("anon", "rss", "charged")]
        numbers += [f"{figures['major']:,}", f"{figures['minor']:,}"]
        row = [name + failed + free, os.path.basename(program)] + numbers
        print("| " + " | ".join(row) + " |", flush=True)

    if not os.path.exists(os.path.join(repo, "repo")):
        make = [args.scale, "generate", "--repo", repo, "--chunks", str(args.chunks)]
        make += ["--files", str(args.files), "--runs", str(args.runs)]
        make += ["--delta-packs", str(args.delta_packs)] + secret
        show("generate", args.scale, run(make, args.limit * MIB, env, log))
    for number, larder in enumerate(args.larder):
        mine = f"{cache}-{number}"
        for name, kind, arguments, fresh in steps(args, repo, mine, source):
            if args.only and not any(name.startswith(only) for only in args.only):
                continue
            program = larder if kind == "larder" else args.scale
            known = subprocess.run([larder, "help", "prune"], capture_output=True).returncode == 0
            if name == "plan a prune" and not known:
                continue
            if fresh:
                shutil.rmtree(mine, ignore_errors=True)
            forget(repo, mine)
            extra = secret if kind == "scale" else []
            show(name, program, run([program] + arguments + extra, args.limit * MIB, env, log))
        if not args.keep:
            shutil.rmtree(mine, ignore_errors=True)
    if not args.keep:
        shutil.rmtree(repo, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
