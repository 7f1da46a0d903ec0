//! Names of owners and groups.

use std::collections::HashMap;
use std::fs;
use std::hash::Hash;
use std::sync::Arc;

use crate::model::Owner;

/// Names by number and numbers by name, as `/etc/passwd` and `/etc/group` give them.
///
/// Owners known only to a directory service (LDAP, NIS, ...) have no name here and are kept by
/// number: asking such services needs the C library's name service, which a statically linked
/// program does not have.
#[derive(Clone, Debug, Default)]
pub struct OwnerNames {
    users: Table,
    groups: Table,
}

#[derive(Clone, Debug, Default)]
struct Table {
    names: HashMap<u32, Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
}

impl OwnerNames {
    /// Reads the tables of this machine. What cannot be read is empty.
    pub fn load() -> Self {
        let read = |path| fs::read(path).unwrap_or_default();
        Self::parse(&read("/etc/passwd"), &read("/etc/group"))
    }

    /// Reads the tables from the text of `passwd` and `group` files. Lines that make no sense are
    /// skipped; of several lines for one number or name the first counts.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        Self { users: Table::parse(passwd), groups: Table::parse(group) }
    }

    /// The name of a user.
    pub fn user(&self, uid: u32) -> Option<&Arc<str>> {
        self.users.names.get(&uid)
    }

    /// The name of a group.
    pub fn group(&self, gid: u32) -> Option<&Arc<str>> {
        self.groups.names.get(&gid)
    }

    /// The number of a user.
    pub fn uid(&self, name: &str) -> Option<u32> {
        self.users.ids.get(name).copied()
    }

    /// The number of a group.
    pub fn gid(&self, name: &str) -> Option<u32> {
        self.groups.ids.get(name).copied()
    }

    /// User and group of an owner on this machine: by name, where the name is known here, else by
    /// number.
    pub fn resolve(&self, owner: &Owner) -> (u32, u32) {
        let text = |name| std::str::from_utf8(name).ok().filter(|name| !name.is_empty());
        let uid = text(&owner.user).and_then(|name| self.uid(name));
        let gid = text(&owner.group).and_then(|name| self.gid(name));
        (uid.unwrap_or(owner.uid), gid.unwrap_or(owner.gid))
    }
}

impl Table {
    /// Both files have the name first and the number third.
    fn parse(text: &[u8]) -> Self {
        let mut table = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default();
            let id = fields.nth(1).and_then(|id| id.parse::<u32>().ok());
            if let Some(id) = id
                && !name.is_empty()
                && !name.starts_with(['#', '+', '-'])
            {
                let name: Arc<str> = name.into();
                insert_first(&mut table.names, id, name.clone());
                insert_first(&mut table.ids, name, id);
            }
        }
        table
    }
}

fn insert_first<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    map.entry(key).or_insert(value);
}
