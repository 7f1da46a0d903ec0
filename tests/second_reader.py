#!/usr/bin/env python3
"""A second reader of larder repositories, written from SPEC.md alone.

    second_reader.py REPOSITORY [SECRET] snapshots
    second_reader.py REPOSITORY [SECRET] list SNAPSHOT [FOLDER]     every entry of FOLDER, as JSON
    second_reader.py REPOSITORY [SECRET] extract SNAPSHOT PATH      a file's bytes

SECRET is one of --password TEXT, --key-file-text TEXT, --recovery-code TEXT, or nothing for a repository without
encryption. Paths are those of the snapshot, without a leading `/`. This shows that the format can be read without the
program that wrote it; it is slow and reads whole packs.
"""
import argparse
import hmac
import json
import struct
import sys
from pathlib import Path

import msgpack
import zstandard
from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FORMAT, DRAFT = 1, 2
MAGIC, END_MAGIC = b"LARDER\x1a\n", b"LARDEREN"
# Object types (section 6).
KEYRING, CONFIG, DATA_PACK, META_PACK, DELTA, RUN, DROP_LIST, LOG = range(1, 9)
PACK_TABLE = 15
# Kinds of sealed units (section 5).
UNIT_SEGMENT, UNIT_RUN_BLOCK, UNIT_SLOT_SECRET, UNIT_SLOT_WRAP = 1, 7, 14, 15
UNIT_OF = {KEYRING: 4, CONFIG: 5, DATA_PACK: 3, META_PACK: 3, DELTA: 6, RUN: 8, DROP_LIST: 9, LOG: 10, PACK_TABLE: 16}
RECORD_MAX = 256 << 20
PAGE_MAX = 16 << 20


class Damaged(Exception):
    """Something is not as SPEC.md says."""


def need(condition, what):
    if not condition:
        raise Damaged(what)


# ---- sections 2 to 5: records, hashes, keys, sealing ----

def decode(data, schema=1):
    """A record without its schema number."""
    fields = msgpack.unpackb(data, raw=False, strict_map_key=False, use_list=True)
    need(isinstance(fields, list) and fields and fields[0] == schema, "a record of an unknown schema")
    return fields[1:]


def encode(value):
    return msgpack.packb(value, use_bin_type=True)


def plain_hash(data):
    return blake3(data).digest()


def keyed_hash(key, data):
    return blake3(data, key=key).digest()


def derive(context, *material, length=32):
    return blake3(b"".join(material), derive_key_context=context).digest(length=length)


class Key:
    """A class key, with what units sealed with it are bound to."""

    def __init__(self, key, repo_id, epoch, suite):
        self.key, self.repo_id, self.epoch, self.suite = key, repo_id, epoch, suite

    def open(self, kind, context, unit, what):
        need(len(unit) >= 72, f"{what}: shorter than any sealed unit")
        salt, commit, body, tag = unit[:24], unit[24:56], unit[56:-16], unit[-16:]
        keys = derive("larder v1 seal", self.key, self.repo_id, bytes([kind]), self.epoch, salt, length=64)
        need(hmac.compare_digest(keys[32:], commit), f"{what}: sealed with another key")
        aad = struct.pack("<HBQ", FORMAT, self.suite, len(unit)) + context
        if self.suite == 0:
            need(hmac.compare_digest(keyed_hash(keys[:32], aad + body)[:16], tag), f"{what}: damaged or forged")
            return body
        try:
            return AESGCMSIV(keys[:32]).decrypt(bytes(12), body + tag, aad)
        except InvalidTag:
            raise Damaged(f"{what}: damaged or forged") from None


def decompress(codec, stored, length, what):
    """At most `length` bytes, and exactly that many."""
    if codec == 1:
        need(zstandard.frame_content_size(stored) == length, f"{what}: another length than its frame says")
        stored = zstandard.ZstdDecompressor().decompress(stored, max_output_size=length)
    else:
        need(codec == 0, f"{what}: unknown codec {codec}")
    need(len(stored) == length, f"{what}: another length than it should have")
    return stored


def unwrap(plain, what):
    """The record in the plaintext of a unit that holds one (end of section 5)."""
    codec, original, payload = struct.unpack_from("<BII", plain)
    need(original <= RECORD_MAX and payload <= len(plain) - 9, f"{what}: impossible lengths")
    return decompress(codec, plain[9:9 + payload], original, what)


# ---- section 4: what people have ----

CODE_ALPHABET = "ABCDEFGHJKMNPQRSTVWXYZ0123456789"


def recovery_secret(text):
    text = "".join(text.upper().split()).replace("-", "")
    text = text.replace("O", "0").replace("I", "1").replace("L", "1").replace("U", "V")
    need(len(text) == 40 and all(c in CODE_ALPHABET for c in text), "this is no recovery code")
    data = int("".join(f"{CODE_ALPHABET.index(c):05b}" for c in text), 2).to_bytes(25, "big")
    need(plain_hash(data[:20])[:5] == data[20:], "a character of the recovery code is mistyped")
    return data[:20]


def key_file_secret(text):
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    need(len(lines) == 1 and lines[0].startswith("larder-key-1:"), "this is no key file")
    return bytes.fromhex(lines[0].removeprefix("larder-key-1:").strip())


class Secret:
    """What opens a slot, and the kind of slot it opens (section 7)."""

    def __init__(self, arguments):
        self.password = arguments.password
        self.kind, self.kek = 4, None
        if arguments.password is not None:
            self.kind = 1
        elif arguments.recovery_code is not None:
            self.kind, self.kek = 2, derive("larder v1 recovery code", recovery_secret(arguments.recovery_code))
        elif arguments.key_file_text is not None:
            self.kind, self.kek = 3, derive("larder v1 key file", key_file_secret(arguments.key_file_text))

    def kek_for(self, kdf):
        if self.kind != 1:
            return self.kek
        memory, passes, lanes, salt = kdf[:4]
        need(memory <= 4 << 20 and passes <= 64 and lanes <= 64, "a slot asks for too much")
        return hash_secret_raw(self.password.encode(), salt, passes, memory, lanes, 32, Type.ID, 0x13)


# ---- sections 6 and 7: objects and keys ----

class Repository:
    def __init__(self, folder, secret):
        self.folder = Path(folder)
        name, version, draft, self.repo_id, _, reader, self.suite = decode(self.read("repo"))[:7]
        need(name == "larder repository", "this is no larder repository")
        need(reader <= FORMAT and draft == DRAFT, f"this is format {version}, draft {draft}")
        need(self.suite == 0 or secret.kind != 4, "this repository is encrypted: give a secret")
        if self.suite == 0:
            secret.kind = 4
        self.roots = self.unlock(secret)
        self.load_keyrings()
        self.load_config()
        self.load_index()

    def read(self, name):
        return (self.folder / name).read_bytes()

    def names(self, folder):
        root = self.folder / folder
        return sorted(str(path.relative_to(self.folder)) for path in root.rglob("*") if path.is_file())

    def read_named(self, name):
        """A whole object: its name must be its hash."""
        data = self.read(name)
        need(plain_hash(data).hex() == name.replace("-", "/").rsplit("/", 1)[1], f"{name}: other bytes than its name says")
        return data

    def each(self, folder):
        """All objects of a folder; bad ones are reported and passed over."""
        for name in self.names(folder):
            try:
                yield name, self.read_named(name)
            except Damaged as error:
                print(f"passed over: {error}", file=sys.stderr)

    def header(self, data, name):
        """Type and epoch."""
        need(len(data) >= 64 and data[:8] == MAGIC, f"{name}: no object of larder")
        version, kind, suite, flags = struct.unpack_from("<HBBI", data, 8)
        draft = struct.unpack_from("<H", data, 40)[0]
        need(version == FORMAT and draft == DRAFT, f"{name}: format {version}, draft {draft}")
        need(suite == self.suite and flags == 0 and data[42:64] == bytes(22), f"{name}: unknown suite or flags")
        need(data[16:32] == self.repo_id[:16], f"{name}: of another repository")
        return kind, data[32:40]

    def record(self, data, name, expected, class_name):
        """The record of an object that holds one unit."""
        kind, epoch = self.header(data, name)
        need(kind in expected, f"{name}: of type {kind}")
        key = self.class_key(class_name, epoch)
        return kind, unwrap(key.open(UNIT_OF[kind], plain_hash(data[:64]), data[64:], name), name)

    def unlock(self, secret):
        """The root keys of all slot objects that the secret opens: a rekey may have left several."""
        found = []
        for name, data in self.each("keys"):
            try:
                repo_id, slot_id, kind, created, label, kdf, public, sealed, rewraps, mac = decode(data)[:10]
                if kind != secret.kind or repo_id != self.repo_id:
                    continue
                context = plain_hash(encode([repo_id, slot_id, kind, created, label, kdf, public]))
                if kind == 4:
                    opened = sealed
                else:
                    kek = Key(secret.kek_for(kdf), repo_id, bytes(8), 1)
                    opened = kek.open(UNIT_SLOT_SECRET, context, sealed, name)
                need(len(opened) == 64 and len(rewraps) <= 16, f"{name}: malformed")
                private, roots = X25519PrivateKey.from_private_bytes(opened[:32]), [opened[32:]]
                need(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) == public, f"{name}: another public key")
                for ephemeral, unit, vouch in (rewrap[:3] for rewrap in rewraps):
                    key = derive("larder v1 vouch", roots[-1])
                    need(keyed_hash(key, slot_id + ephemeral + unit) == vouch, f"{name}: a rewrap is not vouched for")
                    shared = private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
                    wrap = Key(derive("larder v1 slot wrap", shared, ephemeral, public), repo_id, bytes(8), 1)
                    roots.append(wrap.open(UNIT_SLOT_WRAP, context, unit, name))
                key = derive("larder v1 slot mac", roots[-1])
                need(keyed_hash(key, encode([context, sealed, rewraps])) == mac, f"{name}: its mac is wrong")
                found += [root for root in roots if root not in found]
            except Damaged as error:
                problem = error
        if found:
            return found
        raise Damaged(f"no key slot opens with this secret ({locals().get('problem', 'there is none of its kind')})")

    def load_keyrings(self):
        self.masters, self.constant = {}, None
        for name, data in self.each("keyring"):
            kind, _ = self.header(data, name)
            need(kind == KEYRING, f"{name}: of type {kind}")
            for root in self.roots:
                key = Key(derive("larder v1 class root", root), self.repo_id, bytes(8), self.suite)
                try:
                    plain = key.open(UNIT_OF[KEYRING], plain_hash(data[:64]), data[64:], name)
                except Damaged:
                    continue
                repo_id, suite, generation, constant, epochs, current = decode(unwrap(plain, name))[:6]
                need(repo_id == self.repo_id and suite == self.suite, f"{name}: of another repository")
                need(int(name.rsplit("/", 1)[1][:8], 16) == generation, f"{name}: of another generation")
                need(self.constant in (None, constant), "two keyrings contradict each other")
                self.constant = constant
                self.masters.update({epoch[0]: epoch[1] for epoch in epochs})
        need(self.constant is not None, "no keyring opens")
        self.chunk_key = derive("larder v1 chunk id", self.constant)
        self.page_key = derive("larder v1 page id", self.constant)

    def class_key(self, name, epoch):
        need(epoch in self.masters, "sealed with the key of an unknown epoch")
        return Key(derive(f"larder v1 class {name}", self.masters[epoch]), self.repo_id, epoch, self.suite)

    def load_config(self):
        configs = []
        for name, data in self.each("config"):
            _, record = self.record(data, name, [CONFIG], "meta")
            repo_id, generation, _, must_read, _, _, _, _, pages = decode(record)[:9]
            need(repo_id == self.repo_id, f"{name}: of another repository")
            need(not must_read, f"this repository has features that this reader does not know: {must_read}")
            configs.append((generation, name, pages))
        need(configs, "there is no configuration")
        self.page_rules = max(configs)[2]

    # ---- sections 9 and 10: packs and index ----

    def load_index(self):
        """Where each id is: (pack, type, offset, sealed length, plain length, codec, epoch, start, length)."""
        self.places, dropped, deltas, tables, runs = {}, set(), [], {}, {}
        for name, data in self.each("index"):
            kind, epoch = self.header(data, name)
            if kind == RUN:
                directory, records = self.run_shard(data, name, self.class_key("index", epoch))
                runs.setdefault(directory[0], []).append((directory, records))
                continue
            _, record = self.record(data, name, [DELTA, DROP_LIST, PACK_TABLE], "index")
            fields = decode(record)
            if kind == DELTA:
                deltas += fields[0]
            elif kind == DROP_LIST:
                dropped |= {fields[2][i:i + 32] for i in range(0, len(fields[2]), 32)}
            else:
                tables[plain_hash(data)] = fields
        for pack, _, directory in (delta[:3] for delta in deltas):
            if pack not in dropped:
                self.add_directory(pack, decode(encode(directory)))
        for shards in runs.values():
            self.add_run(shards, tables, dropped)

    def run_shard(self, data, name, key):
        offset, length = trailer(data, name)
        unit = data[offset:offset + length]
        directory = decode(unwrap(key.open(UNIT_OF[RUN], plain_hash(data[:64]), unit, name), name))
        run_id, shard, _, _, count, blocks = directory[:6]
        records, at = [], 64
        for number, (_, length, in_block) in enumerate(block[:3] for block in blocks):
            context = run_id + struct.pack("<II", shard, number) + bytes(8)
            plain = key.open(UNIT_RUN_BLOCK, context, data[at:at + length], name)
            need(len(plain) == 48 * in_block, f"{name}: a block has another length")
            records += [(plain[i:i + 32], *struct.unpack_from("<IIII", plain, i + 32)) for i in range(0, len(plain), 48)]
            at += length
        need(at == offset and len(records) == count, f"{name}: its blocks do not add up")
        return directory, records

    def add_directory(self, pack, directory):
        kind, epochs, segments, ids, lengths = directory[:5]
        offset, at = 64, 0
        for sealed, plain, codec, epoch, count in (segment[:5] for segment in segments):
            start = 0
            for number in range(at, at + count):
                place = (pack, kind, offset, sealed, plain, codec, epochs[epoch], start, lengths[number])
                self.places.setdefault(ids[32 * number:32 * number + 32], []).append(place)
                start += lengths[number]
            need(start == plain, "the chunks of a segment do not fill it")
            offset, at = offset + sealed, at + count

    def add_run(self, shards, tables, dropped):
        first = shards[0][0]
        names = [first[6][i:i + 32] for i in range(0, len(first[6]), 32)]
        complete = {directory[1] for directory, _ in shards} == set(range(first[2])) and all(n in tables for n in names)
        if not complete:
            print("passed over: a run that is not complete", file=sys.stderr)
            return
        packs = []
        for name in names:
            need(tables[name][0] == first[0] and tables[name][1] == len(packs), "a pack table does not belong here")
            packs += tables[name][2]
        for id_, pack_no, segment_no, start, length in (record for _, records in shards for record in records):
            pack, _, kind, epochs, segments = packs[pack_no][:5]
            offset, sealed, plain, codec, epoch = segments[segment_no][:5]
            if pack not in dropped:
                place = (pack, kind, offset, sealed, plain, codec, epochs[epoch], start, length)
                self.places.setdefault(id_, []).append(place)

    def fetch(self, id_, key, what):
        """A chunk or page: of several copies the first good one."""
        problem = Damaged(f"{what}: not in the index")
        for pack, kind, offset, sealed, plain, codec, epoch, start, length in self.places.get(id_, []):
            folder, class_name = ("data", "data") if kind == DATA_PACK else ("meta", "meta")
            try:
                with open(self.folder / folder / f"{pack[0]:02x}" / pack.hex(), "rb") as file:
                    file.seek(offset)
                    unit = file.read(sealed)
                opened = self.class_key(class_name, epoch).open(UNIT_SEGMENT, bytes(32), unit, what)
                found = decompress(codec, opened, plain, what)[start:start + length]
                need(keyed_hash(key, found) == id_, f"{what}: other bytes than its id says")
                return found
            except (Damaged, OSError) as error:
                problem = error
        raise problem

    def chunk(self, id_):
        return self.fetch(id_, self.chunk_key, f"chunk {id_.hex()}")

    def page(self, id_):
        data = self.fetch(id_, self.page_key, f"page {id_.hex()}")
        need(len(data) <= PAGE_MAX, f"page {id_.hex()}: too long")
        return data

    # ---- sections 11 and 12: snapshots and manifests ----

    def snapshots(self):
        found = []
        for name, data in self.each("snapshots"):
            _, record = self.record(data, name, [LOG], "meta")
            kind, record_id, _, client_id, seq, _, _, _, host, user, tool, body = decode(record)[:12]
            folder, file = name.split("/")[1:]
            need(client_id[:4].hex() == folder and f"{seq:08x}" == file[:8], f"{name}: of another client or number")
            if kind == 1:
                found.append(Snapshot(record_id, host, user, tool, decode(body)))
        return sorted(found, key=lambda snapshot: (snapshot.start, snapshot.id))

    def snapshot(self, prefix):
        fitting = [snapshot for snapshot in self.snapshots() if snapshot.id.hex().startswith(prefix)]
        need(len(fitting) == 1, f"{len(fitting)} snapshots are called {prefix}")
        return fitting[0]

    def entries(self, snapshot):
        last = None
        for page in self.leaves(snapshot.root, snapshot.depth):
            for entry in decode_leaf(page):
                need(last is None or order(last) < order(entry.path), "paths are out of order")
                last = entry.path
                yield entry

    def leaves(self, page, level):
        data = self.page(page)
        if level == 0:
            yield data
            return
        stored_level, children = decode(data)[:2]
        need(stored_level == level, "a page of another level")
        for child in children:
            yield from self.leaves(child[1], level - 1)

    def check_cuts(self, snapshot):
        """Pages end where the rules of section 11 say: the same entries always make the same pages."""
        mask, least, most, weight_max = self.page_rules[:4]
        key, level, pages = derive("larder v1 page cut", self.constant), snapshot.depth, [snapshot.root]
        while True:
            if level == 0:
                elements = [[(entry.path, weight(entry)) for entry in decode_leaf(self.page(page))] for page in pages]
            else:
                children = [decode(self.page(page))[1] for page in pages]
                elements = [[(child[0], 64 + len(child[0])) for child in page] for page in children]
                pages = [child[1] for page in children for child in page]
            lengths, count, total = [], 0, 0
            for path, element_weight in (element for page in elements for element in page):
                count, total = count + 1, total + element_weight
                is_cut = struct.unpack("<Q", keyed_hash(key, bytes([level]) + path)[:8])[0] & mask == 0
                heavy = total >= weight_max and (level == 0 or count >= 2)
                if heavy or count >= most or (count >= least and is_cut):
                    lengths, count, total = lengths + [count], 0, 0
            lengths += [count] if count else []
            need(lengths == [len(page) for page in elements if page], f"pages of level {level} end in other places")
            if level == 0:
                return
            level -= 1

    def pieces(self, entry):
        """(id, length) of chunks and (None, length) of holes, in file order."""
        content = entry.content
        if content is None:
            return [(None, entry.size)] if entry.size else []
        if len(content) == 1:
            return [(content[0], entry.size)]
        if isinstance(content[1], list):
            return join(*content[:2])
        pieces = list(self.list_pieces(content[0], content[1]))
        need(len(pieces) == content[2], "a list has another number of pieces")
        return pieces

    def list_pieces(self, page, level):
        fields = decode(self.page(page))
        need(fields[0] == 16 + level, "a list page of another level")
        if level == 0:
            yield from join(fields[1], fields[2])
            return
        for child in fields[1]:
            yield from self.list_pieces(child[0], level - 1)

    def content(self, entry):
        """The bytes of a file, part by part."""
        if isinstance(entry.content, bytes):
            need(len(entry.content) == entry.size, "inline content of another length")
            yield entry.content
            return
        total, chunks = 0, {}
        for id_, length in self.pieces(entry):
            total += length
            need(total <= entry.size, "a file has more content than its size")
            if id_ is None:
                yield from (bytes(min(1 << 20, length - at)) for at in range(0, length, 1 << 20))
                continue
            if id_ not in chunks:
                chunks = {id_: self.chunk(id_)}
            need(len(chunks[id_]) == length, "a chunk has another length")
            yield chunks[id_]
        need(total == entry.size, "a file has less content than its size")

    def xattrs(self, entry):
        if isinstance(entry.xattrs, bytes):
            level, pairs = decode(self.page(entry.xattrs))[:2]
            need(level == 32, "this is no page of attributes")
            return pairs
        return entry.xattrs or []


def trailer(data, name):
    """Where the directory at the end of a run is."""
    end = data[-32:]
    need(len(data) >= 96 and end[16:24] == END_MAGIC and plain_hash(end[:24])[:8] == end[24:], f"{name}: it is cut off")
    offset, length = struct.unpack_from("<QI", end)
    need(64 <= offset and offset + length + 32 == len(data), f"{name}: its directory is not where it should be")
    return offset, length


class Snapshot:
    def __init__(self, id_, host, user, tool, body):
        self.id, self.host, self.user, self.tool = id_, host, user, tool
        self.strategy, self.roots, _, self.tags, self.description, self.start, self.end, _, self.root, self.depth = body[:10]


class Entry:
    """One entry of a leaf; fields that were trimmed have their defaults."""

    DEFAULTS = [None] * 6 + [0, 0, 0, 0, 0, 0, None, None, 0, 0, None, None, None]

    def __init__(self, fields, before, owners):
        fields = fields + self.DEFAULTS[len(fields):]
        prefix, suffix, self.kind, self.mode, owner, secs, nanos, _, _, inode, self.nlink, self.size, self.content, \
            self.link, self.flags, self.inode_flags, self.xattrs, self.device, self.atime = fields[:19]
        need(prefix <= len(before.path if before else b""), "a path shares more than there is")
        self.path = (before.path if before else b"")[:prefix] + suffix
        self.owner, self.mtime = owners[owner], (secs, nanos)
        self.inode = ((before.inode if before else 0) + inode) % 2**64
        parts = self.path.split(b"/") if self.path else []
        need(all(part not in (b"", b".", b"..") and b"\0" not in part for part in parts), "a path is not valid")


def decode_leaf(data):
    level, owners, records = decode(data)[:3]
    need(level == 0, "this is no leaf")
    entries = []
    for record in records:
        entries.append(Entry(record, entries[-1] if entries else None, owners))
    return entries


def weight(entry):
    """What an entry counts for the size of its page."""
    content, xattrs = entry.content, entry.xattrs
    if isinstance(content, list):
        # One chunk, a list of its own, or ids and lengths.
        content = 32 if not isinstance(content[-1], list) else len(content[0])
    else:
        content = len(content or b"")
    if isinstance(xattrs, list):
        xattrs = sum(len(name) + len(value) for name, value in xattrs)
    else:
        xattrs = 32 if xattrs else 0
    return 128 + len(entry.path) + content + len(entry.link or b"") + xattrs


def join(ids, lengths):
    pieces, at = [], 0
    for length in lengths:
        need(length != 0, "a piece without length")
        pieces.append((None, -length) if length < 0 else (ids[at:at + 32], length))
        at += 32 if length > 0 else 0
    need(at == len(ids), "ids and lengths do not fit")
    return pieces


def order(path):
    return path.replace(b"/", b"\0")


# ---- what is shown ----

KINDS = ["", "file", "directory", "symbolic link", "fifo", "socket", "character device", "block device"]


def shown(path):
    """Text for any bytes: what is not UTF-8, control characters and `%` are written %XX."""
    text = path.decode("utf-8", "surrogateescape")
    hidden = lambda c: c == "%" or ord(c) < 32 or 127 <= ord(c) < 160 or 0xDC80 <= ord(c) <= 0xDCFF
    escape = lambda c: "".join(f"%{byte:02X}" for byte in c.encode("utf-8", "surrogateescape"))
    return "".join(escape(c) if hidden(c) else c for c in text)


def below(path, folder):
    return path[len(folder):].lstrip(b"/") if folder else path


def describe(repository, entry, folder):
    found = {"kind": KINDS[entry.kind], "mode": f"{entry.mode:o}", "mtime": f"{entry.mtime[0]}.{entry.mtime[1]:09}"}
    if entry.link is not None:
        found["same_as"] = shown(below(entry.link, folder))
    elif entry.kind == 1:
        hasher = blake3()
        for part in repository.content(entry):
            hasher.update(part)
        found["size"], found["blake3"] = entry.size, hasher.hexdigest()
    elif entry.kind == 3:
        found["target"] = shown(entry.content)
    elif entry.device is not None:
        found["device"] = entry.device
    for name, value in repository.xattrs(entry):
        found.setdefault("xattrs", {})[shown(name)] = value.hex()
    return found


def main():
    parser = argparse.ArgumentParser(description="Reads a larder repository.")
    parser.add_argument("repository")
    parser.add_argument("--password")
    parser.add_argument("--key-file-text")
    parser.add_argument("--recovery-code")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("snapshots")
    for command in ("list", "extract"):
        command_parser = commands.add_parser(command)
        command_parser.add_argument("snapshot")
        command_parser.add_argument("path", nargs="?" if command == "list" else None, default="")
    arguments = parser.parse_args()
    repository = Repository(arguments.repository, Secret(arguments))
    if arguments.command == "snapshots":
        listed = [{"id": s.id.hex(), "host": s.host, "start": s.start, "roots": [shown(r) for r in s.roots]}
                  for s in repository.snapshots()]
        json.dump(listed, sys.stdout, indent=1)
        return
    path = arguments.path.encode("utf-8", "surrogateescape")
    snapshot = repository.snapshot(arguments.snapshot)
    repository.check_cuts(snapshot)
    entries = repository.entries(snapshot)
    if arguments.command == "list":
        inside = lambda entry: not path or entry.path == path or entry.path.startswith(path + b"/")
        json.dump({shown(below(e.path, path)): describe(repository, e, path) for e in entries if inside(e)}, sys.stdout, indent=1)
        return
    entries = {entry.path: entry for entry in entries}
    need(path in entries and entries[path].kind == 1, f"there is no file {arguments.path}")
    entry = entries[path]
    for part in repository.content(entries[entry.link] if entry.link is not None else entry):
        sys.stdout.buffer.write(part)


if __name__ == "__main__":
    try:
        main()
    except Damaged as problem:
        sys.exit(f"second_reader: {problem}")
