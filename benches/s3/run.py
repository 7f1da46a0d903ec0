#!/usr/bin/env python3
"""A backup to an S3 server on this machine beside what OpenDAL alone and restic reach there.

    run.py [--mib 1024] [--runs 5] [--json out.json]
    run.py --restore [--mib 10240]

Each run starts SeaweedFS anew (`weed` of tests/servers/install.sh, or WEED), and measures, in another order each time:
  larder   first backup of random files to the server
  bare     upload of the packs of the same backup by OpenDAL alone, at several concurrencies; the best one counts
  restic   first backup to the same server (PEER_RESTIC, else left out)
`--restore` makes one repository of small and large files instead, restores one file of 10 MB from it, with and
without what this machine has cached, and tells how many bytes and requests that took.
Programs: LARDER (default target/release/larder), BARE (the bench `s3`, see `cargo bench --no-run --bench s3`).
"""
import argparse, json, os, random, resource, shutil, socket, statistics, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"AWS_ACCESS_KEY_ID": "benchkey", "AWS_SECRET_ACCESS_KEY": "benchsecret"}
IDENTITIES = {"identities": [{"name": "admin", "actions": ["Admin", "Read", "List", "Tagging", "Write"],
              "credentials": [{"accessKey": "benchkey", "secretKey": "benchsecret"}]}]}
BUCKET = "bench"
CONCURRENCIES = ["1", "2", "4", "8"]


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

    def cpu(self):
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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


def make_tree(folder, mib):
    """The same, with half of the bytes in files of 50 kB."""
    make_files(folder, mib // 2)
    source = random.Random(2)
    for number in range((mib << 20) // 2 // 50_000):
        path = folder / f"small{number // 1000}" / f"{number % 1000}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(source.randbytes(50_000))


def run(command, env):
    """Seconds, seconds of processor time, and what it printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, done.stdout


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


def measure(files, larder, bare, packs, number):
    folder = Path(tempfile.mkdtemp(prefix="bench-s3-"))
    server, result = Server(folder), {"bare": {}, "cpu": {}}
    env = larder_env(folder)

    def counted(command, env):
        before = server.cpu()
        seconds, cpu, out = run(command, env)
        return seconds, (cpu, server.cpu() - before), out

    def measure_larder():
        repository = f"s3://{BUCKET}/larder?endpoint={server.endpoint}"
        run([larder, "-r", repository, "repo", "init"], env)
        result["larder"], result["cpu"]["larder"], _ = counted([larder, "-r", repository, "snapshot", str(files)], env)

    def measure_bare():
        for concurrency in CONCURRENCIES:
            _, result["cpu"]["bare"], out = counted([bare, str(packs), server.endpoint, BUCKET, concurrency], env)
            line = json.loads(out.strip().splitlines()[-1])
            result["bare"][concurrency], result["bytes"] = line["seconds"], line["bytes"]

    def measure_restic():
        renv = {**env, "RESTIC_REPOSITORY": f"s3:{server.endpoint}/{BUCKET}/restic", "RESTIC_PASSWORD": "x",
                "RESTIC_CACHE_DIR": f"{folder}/restic-cache"}
        run([restic, "init"], renv)
        result["restic"], result["cpu"]["restic"], _ = counted([restic, "backup", str(files)], renv)

    restic = os.environ.get("PEER_RESTIC")
    parts = [measure_larder, measure_bare] + ([measure_restic] if restic else [])
    try:
        wait_for(server, larder, env)
        for part in parts[number % len(parts):] + parts[:number % len(parts)]:
            part()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return result


def measure_all(args, larder, work):
    bare = os.environ.get("BARE") or sys.exit("BARE must name the program of the bench `s3`")
    files = work / "files"
    make_files(files, args.mib)
    env = larder_env(work)
    run([larder, "-r", str(work / "local"), "repo", "init"], env)
    local, _, _ = run([larder, "-r", str(work / "local"), "snapshot", str(files)], env)
    print(f"backup to a local folder: {local:.1f} s")
    results, shares, ratios = [], [], []
    for number in range(args.runs):
        result = measure(files, larder, bare, work / "local/data", number)
        results.append(result)
        rate = lambda seconds: f"{seconds:.2f} s, {result['bytes'] / seconds / (1 << 20):.0f} MiB/s"
        ours, (best, concurrency) = result["larder"], min((s, c) for c, s in result["bare"].items())
        shares.append(best / ours)
        text = f"run {number + 1}: larder {rate(ours)}; bare {rate(best)} with {concurrency}; share {best / ours:.0%}"
        if "restic" in result:
            ratios.append(result["restic"] / ours)
            text += f"; restic {rate(result['restic'])}, {ratios[-1]:.2f} times larder's"
        cpu = ", ".join(f"{name} {own:.1f} + {server:.1f}" for name, (own, server) in result["cpu"].items())
        print(f"{text}; seconds of processor, with those of the server: {cpu}", flush=True)
    print(f"median: {statistics.median(shares):.0%} of the bare upload"
          + (f", restic takes {statistics.median(ratios):.2f} times as long" if ratios else ""))
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1))


def measure_restore(args, larder, work):
    files, env = work / "files", larder_env(work)
    make_tree(files, args.mib)
    server = Server(work)
    try:
        wait_for(server, larder, env)
        repository = f"s3://{BUCKET}/larder?endpoint={server.endpoint}"
        run([larder, "-r", repository, "repo", "init"], env)
        seconds, cpu, out = run([larder, "-r", repository, "--json", "snapshot", str(files)], env)
        made = json.loads(out.strip().splitlines()[-1])
        print(f"backup: {seconds:.1f} s, {cpu:.1f} s of processor; {made['files_new']} files, "
              f"{made['chunks_added']} chunks, {made['bytes_stored']} bytes stored", flush=True)
        fresh = {**env, "LARDER_CACHE_DIR": f"{work}/cache2", "XDG_STATE_HOME": f"{work}/state2"}
        for what, env in [("without a cache", fresh), ("again", fresh), ("where the backup was made", env)]:
            target = work / what.replace(" ", "-")
            seconds, _, out = run([larder, "-r", repository, "--json", "restore", "latest", "--only",
                                   str(files / "ten"), "--target", str(target)], env)
            restored = next(target.rglob("ten")).read_bytes()
            assert restored == (files / "ten").read_bytes(), "it is not what was backed up"
            storage = json.loads(out.strip().splitlines()[-1])["storage"]
            print(f"restore of one file of {len(restored)} bytes, {what}: {seconds:.2f} s, "
                  f"{storage['downloaded_bytes']} bytes read, {storage}", flush=True)
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--restore", action="store_true")
    parser.add_argument("--json")
    args = parser.parse_args()
    args.mib = args.mib or (10_240 if args.restore else 1024)
    larder = os.environ.get("LARDER", str(ROOT / "target/release/larder"))
    work = Path(tempfile.mkdtemp(prefix="bench-s3-files-"))
    try:
        (measure_restore if args.restore else measure_all)(args, larder, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
