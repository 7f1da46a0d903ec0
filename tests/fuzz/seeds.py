#!/usr/bin/env python3
"""Fills tests/fuzz/corpus with the records of fixtures/vectors/records.json: each where it belongs."""
import json
from pathlib import Path

TARGETS = {
    "repo::RepoRecord": "repo", "key_slot::KeySlot": "key_slot", "keyring::Keyring": "keyring", "config::Config": "config",
    "pack::Directory": "pack_directory", "index::Delta": "index_delta", "index::PackTable": "pack_table",
    "index::RunDirectory": "run_directory", "index::DropList": "drop_list", "page::LeafRecord": "leaf_page",
    "page/xattrs::XattrsPage": "xattrs_page", "log::LogRecord": "log_record", "log::SnapshotBody": "snapshot_body",
    "log::CheckpointBody": "checkpoint_body", "log::AboutBody": "about_body", "log::NoteBody": "note_body",
    "session::Session": "session", "session::SessionEnd": "session_end", "gc::Mark": "mark", "gc::Fence": "fence", "gc::Lease": "lease", "gc::DamageList": "damage_list", "debt::DebtRecord": "debt",
    # With the level in front.
    "page::InnerRecord": "inner_page", "list::LeafRecord": "list_page", "list::InnerRecord": "list_page",
}
LEVELS = {"page::InnerRecord": b"\x02", "list::LeafRecord": b"\x00", "list::InnerRecord": b"\x02"}

here = Path(__file__).parent
for number, vector in enumerate(json.loads((here / "../../fixtures/vectors/records.json").read_text())):
    name = vector["record"].split(" ")[0]
    if name in TARGETS:
        folder = here / "corpus" / TARGETS[name]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03}").write_bytes(LEVELS.get(name, b"") + bytes.fromhex(vector["hex"]))
