#!/usr/bin/env python3
"""A backup to an S3 server on this machine beside what OpenDAL alone and restic reach there.

    run.py [--mib 1024] [--runs 3] [--json out.json]

Each run starts SeaweedFS anew (`weed` of tests/servers/install.sh, or WEED), and measures:
  larder   init + first backup of random files to the server
  bare     upload of the packs of the same backup by OpenDAL alone, at several concurrencies; the best counts
  restic   init + first backup to the same server (PEER_RESTIC, else left out)
  restore  one file of 10 MB from the repository of the first row: bytes read, from the summary
Programs: LARDER (default target/release/larder), BARE (the bench `s3`, see `cargo bench --no-run --bench s3`).
"""
import argparse, json, os, random, shutil, socket, statistics, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"AWS_ACCESS_KEY_ID": "benchkey", "AWS_SECRET_ACCESS_KEY": "benchsecret"}
IDENTITIES = {"identities": [{"name": "admin", "actions": ["Admin", "Read", "List", "Tagging", "Write"],
              "credentials": [{"accessKey": "benchkey", "secretKey": "benchsecret"}]}]}
BUCKET = "bench"
CONCURRENCIES = ["1", "2", "4", "8", "12"]


def free_ports(count):
    sockets = []
    while len(sockets) < count:
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        # gRPC is at the port + 10000.
        if s.getsockname()[1] < 50000:
            sockets.append(s)
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    def __init__(self, folder):
        weed = os.environ.get("WEED", str(ROOT / "target/test-servers/python/bin/weed"))
        master, filer, volume, self.port, admin = free_ports(5)
        keys = folder / "s3.json"
        keys.write_text(json.dumps(IDENTITIES))
        (folder / "weed").mkdir()
        self.log = open(folder / "weed.log", "w")
        self.process = subprocess.Popen(
            [weed, "-logtostderr=true", "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}/weed",
             f"-master.port={master}", f"-filer.port={filer}", f"-volume.port={volume}", f"-s3.port={self.port}",
             f"-admin.port={admin}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-admin.ui=false", "-webdav=false",
             f"-s3.config={keys}", f"-bucket={BUCKET}"], stdout=self.log, stderr=self.log)
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def make_files(folder, mib):
    """Files of 1 to 64 MiB that cannot be compressed, and one of 10 MB."""
    folder.mkdir()
    source, left, number = random.Random(1), mib << 20, 0
    (folder / "ten").write_bytes(source.randbytes(10_000_000))
    while left > 0:
        length = min(left, source.randrange(1 << 20, 64 << 20))
        (folder / f"f{number}").write_bytes(source.randbytes(length))
        left, number = left - length, number + 1


def run(command, env):
    start = time.monotonic()
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return seconds, done.stdout


def larder_env(folder):
    return {**os.environ, **KEYS, "NO_PROXY": "127.0.0.1", "LARDER_PASSWORD": "correct horse battery staple",
            "LARDER_CACHE_DIR": f"{folder}/cache", "XDG_STATE_HOME": f"{folder}/state"}


def wait_for(server, larder, env):
    for _ in range(100):
        command = [larder, "-r", f"s3://{BUCKET}/probe?endpoint={server.endpoint}", "repo", "init"]
        if subprocess.run(command, env=env, capture_output=True).returncode == 0:
            return
        time.sleep(0.3)
    sys.exit("the server does not start")


def measure(files, larder, bare, packs):
    folder = Path(tempfile.mkdtemp(prefix="bench-s3-"))
    server, result = Server(folder), {}
    try:
        env = larder_env(folder)
        wait_for(server, larder, env)
        repository = f"s3://{BUCKET}/larder?endpoint={server.endpoint}"
        init, _ = run([larder, "-r", repository, "repo", "init"], env)
        backup, out = run([larder, "-r", repository, "--json", "snapshot", str(files)], env)
        result["larder_init"], result["larder"] = init, backup
        result["bare"] = {}
        for concurrency in CONCURRENCIES:
            _, out = run([bare, str(packs), server.endpoint, BUCKET, concurrency], env)
            line = json.loads(out.strip().splitlines()[-1])
            result["bare"][concurrency], result["bytes"] = line["seconds"], line["bytes"]
        restic = os.environ.get("PEER_RESTIC")
        if restic:
            renv = {**env, "RESTIC_REPOSITORY": f"s3:{server.endpoint}/{BUCKET}/restic", "RESTIC_PASSWORD": "x",
                    "RESTIC_CACHE_DIR": f"{folder}/restic-cache"}
            run([restic, "init"], renv)
            result["restic"], _ = run([restic, "backup", str(files)], renv)
        target = folder / "restored"
        fresh = {**env, "LARDER_CACHE_DIR": f"{folder}/cache2", "XDG_STATE_HOME": f"{folder}/state2"}
        seconds, out = run([larder, "-r", repository, "--json", "restore", "latest", "--only", str(files / "ten"),
                            "--target", str(target)], fresh)
        summary = json.loads(out.strip().splitlines()[-1])
        result["restore"] = {"seconds": seconds, "storage": summary.get("storage", summary)}
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json")
    args = parser.parse_args()
    larder = os.environ.get("LARDER", str(ROOT / "target/release/larder"))
    bare = os.environ.get("BARE") or sys.exit("BARE must name the program of the bench `s3`")
    work = Path(tempfile.mkdtemp(prefix="bench-s3-files-"))
    try:
        files = work / "files"
        make_files(files, args.mib)
        env = larder_env(work)
        run([larder, "-r", str(work / "local"), "repo", "init"], env)
        local, _ = run([larder, "-r", str(work / "local"), "snapshot", str(files)], env)
        print(f"backup to a local folder: {local:.1f} s")
        results = []
        for number in range(args.runs):
            result = measure(files, larder, bare, work / "local/data")
            results.append(result)
            best = min(result["bare"].values())
            rate = lambda seconds: f"{result['bytes'] / seconds / (1 << 20):.0f} MiB/s"
            print(f"run {number + 1}: larder {result['larder']:.2f} s ({rate(result['larder'])}), "
                  f"bare {best:.2f} s ({rate(best)}) of {result['bare']}, restic {result.get('restic', 0):.2f} s; "
                  f"larder / bare = {best / result['larder']:.0%}; restore of 10 MB: {result['restore']}")
        share = statistics.median(min(r["bare"].values()) / r["larder"] for r in results)
        print(f"median share of the bare upload: {share:.0%}")
        if args.json:
            Path(args.json).write_text(json.dumps(results, indent=1))
    finally:
        shutil.rmtree(work, ignore_errors=True)


main()
