#!/usr/bin/env python3
"""Reading from a mount beside `larder restore` and the mounts of restic and rustic, on the same files.

    run.py [--runs 5] [--mib 1024] [--tree FOLDER] [--json out.json]
    run.py --slow [--runs 3] [--mib 256]

Each run mounts anew, so that the kernel remembers nothing, and takes the programs in another order:
  large    one large file read from one end to the other (`cat`), beside `larder restore` of it
  tree     `tar cf - FOLDER | cat >/dev/null` in the mount of a folder of many files
`--slow` puts the repository behind a server that takes 20 ms for each request (`larder` on S3, `weed` of
tests/servers/install.sh, or WEED), and compares with one request at a time (LARDER_CONCURRENCY=1).
Programs: LARDER (default target/release/larder), PEER_RESTIC and PEER_RUSTIC (built with its feature `mount`; else
left out). Mounts need root, or fusermount3.
"""
import argparse, json, os, random, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LARDER = os.environ.get("LARDER", str(ROOT / "target/release/larder"))
RESTIC = os.environ.get("PEER_RESTIC")
RUSTIC = os.environ.get("PEER_RUSTIC")
MIXED = 64 << 10


def environment(folder, **more):
    return {**os.environ, "HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache"),
            "LARDER_PASSWORD": "bench", "RESTIC_PASSWORD": "bench",
            "RUSTIC_PASSWORD": "bench", **more}


def run(command, env, **more):
    return subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def large_file(path, mib):
    """Half of it text-like, half of it random, mixed in pieces, from a fixed seed."""
    dice = random.Random(7)
    words = [dice.randbytes(dice.randint(2, 9)).hex().encode() + b" " for _ in range(5000)]
    with open(path, "wb") as file:
        for _ in range(mib << 20 >> 17):
            file.write(dice.randbytes(MIXED))
            file.write(b"".join(dice.choices(words, k=MIXED // 12))[:MIXED].ljust(MIXED, b"."))


class Mount:
    """A mounted repository; `path` is where the newest snapshot shows `source`."""

    def __init__(self, tool, folder, source, env):
        self.folder = folder / f"mnt-{tool}"
        self.folder.mkdir(exist_ok=True)
        repo = str(folder / f"repo-{tool}") if "LARDER_REPOSITORY" not in env else env["LARDER_REPOSITORY"]
        command = {"larder": [LARDER, "-q", "-r", repo, "mount", str(self.folder)],
                   "restic": [RESTIC, "-q", "-r", repo, "mount", str(self.folder)],
                   "rustic": [RUSTIC, "-r", repo, "mount", str(self.folder), "latest"]}[tool]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        newest = {"larder": "latest", "restic": "snapshots/latest", "rustic": ""}[tool]
        self.path = self.folder / newest / str(source).lstrip("/")
        until = time.time() + 60
        while not self.path.exists():
            if self.process.poll() is not None or time.time() > until:
                sys.exit(f"{tool} does not mount")
            time.sleep(0.05)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        subprocess.run(["umount", str(self.folder)], stderr=subprocess.DEVNULL)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait()


def timed(line):
    start = time.monotonic()
    subprocess.run(["bash", "-c", line], check=True)
    return time.monotonic() - start


def backups(folder, sources, env):
    run([LARDER, "-r", str(folder / "repo-larder"), "repo", "init"], env)
    run([LARDER, "-r", str(folder / "repo-larder"), "snapshot", *sources], env)
    if RESTIC:
        run([RESTIC, "-r", str(folder / "repo-restic"), "init"], env)
        run([RESTIC, "-r", str(folder / "repo-restic"), "backup", *sources], env)
    if RUSTIC:
        run([RUSTIC, "-r", str(folder / "repo-rustic"), "init"], env)
        run([RUSTIC, "-r", str(folder / "repo-rustic"), "backup", *sources], env)


def local(arguments, folder):
    env = environment(folder)
    large = folder / "source/large"
    large.parent.mkdir()
    large_file(large, arguments.mib)
    sources = [str(large.parent)] + ([arguments.tree] if arguments.tree else [])
    backups(folder, sources, env)
    times = {}

    def restore():
        target = folder / "restored"
        shutil.rmtree(target, ignore_errors=True)
        start = time.monotonic()
        run([LARDER, "-r", str(folder / "repo-larder"), "restore", f"latest:{large.parent}", "--target", str(target)],
            env)
        return time.monotonic() - start

    def read(tool, source, line):
        with Mount(tool, folder, source, env) as path:
            return timed(line.format(path))

    tools = ["larder"] + (["restic"] if RESTIC else []) + (["rustic"] if RUSTIC else [])
    steps = [("large restore", restore)]
    steps += [(f"large {tool}", lambda tool=tool: read(tool, large, "cat {} >/dev/null")) for tool in tools]
    if arguments.tree:
        tree = Path(arguments.tree)
        steps += [(f"tree {tool}", lambda tool=tool: read(tool, tree, "tar cf - -C {} . | cat >/dev/null"))
                  for tool in tools]
    for number in range(arguments.runs):
        for name, step in random.Random(number).sample(steps, len(steps)):
            times.setdefault(name, []).append(step())
    return times


def slow(arguments, folder):
    sys.path.insert(0, str(ROOT / "benches/s3"))
    import run as s3
    server = s3.Server(folder)
    try:
        delay = subprocess.Popen([sys.executable, str(Path(__file__).with_name("delay.py")), str(server.port), "20"],
                                 stdout=subprocess.PIPE, text=True)
        port = int(delay.stdout.readline())
        large = folder / "source/large"
        large.parent.mkdir()
        large_file(large, arguments.mib)
        times = {}
        s3.wait_for(server, LARDER, environment(folder, **s3.KEYS))
        near, far = (f"s3://{s3.BUCKET}/larder?endpoint=http://127.0.0.1:{p}" for p in (server.port, port))
        env = environment(folder, **s3.KEYS)
        run([LARDER, "-r", near, "repo", "init"], env)
        run([LARDER, "-r", near, "snapshot", str(large.parent)], env)
        for number in range(arguments.runs):
            order = [("slow, many requests", {}), ("slow, one at a time", {"LARDER_CONCURRENCY": "1"})]
            for name, more in random.Random(number).sample(order, 2):
                with Mount("larder", folder, large, {**env, **more, "LARDER_REPOSITORY": far}) as path:
                    times.setdefault(name, []).append(timed(f"cat {path} >/dev/null"))
        delay.terminate()
        return times
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--tree")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-mount-") as folder:
        folder = Path(folder)
        (folder / "home").mkdir()
        times = (slow if arguments.slow else local)(arguments, folder)
    for name, all_times in sorted(times.items()):
        print(f"{name:22} {statistics.median(all_times):7.2f} s   ({', '.join(f'{t:.2f}' for t in all_times)})")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(times))


if __name__ == "__main__":
    main()
