//! POSIX access control lists: as Linux keeps them in extended attributes, and as the text that
//! tar archives have.

use super::Xattr;

/// The attribute that holds who may do what with a file.
pub const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute of a folder that holds the list that new files in it begin with.
pub const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// Version of the form that Linux has.
const VERSION: u32 = 2;
/// Stands where a line names nobody.
const NO_ID: u32 = u32::MAX;

/// Whom a line of a list is about. In the order that lines have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AclWho {
    /// The owner of the file.
    Owner,
    /// A user, by number.
    User(u32),
    /// The group of the file.
    OwningGroup,
    /// Another group, by number.
    Group(u32),
    /// The most that any of the groups and of the named users may do.
    Mask,
    /// Everybody else.
    Other,
}

impl AclWho {
    fn tag(self) -> (u16, u32) {
        match self {
            Self::Owner => (1, NO_ID),
            Self::User(id) => (2, id),
            Self::OwningGroup => (4, NO_ID),
            Self::Group(id) => (8, id),
            Self::Mask => (0x10, NO_ID),
            Self::Other => (0x20, NO_ID),
        }
    }

    fn of_tag(tag: u16, id: u32) -> Option<Self> {
        Some(match tag {
            1 => Self::Owner,
            2 => Self::User(id),
            4 => Self::OwningGroup,
            8 => Self::Group(id),
            0x10 => Self::Mask,
            0x20 => Self::Other,
            _ => return None,
        })
    }

    /// Whether it is one that only lists know, and modes do not.
    fn is_named(self) -> bool {
        matches!(self, Self::User(_) | Self::Group(_))
    }
}

/// A list that is whole: it has a line for the owner, the group and the others, one for the mask if
/// it names anybody, and none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Sorted; rights are `rwx` as three bits.
    lines: Vec<(AclWho, u16)>,
}

/// A list that was read from text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclText {
    /// Without the lines about names that nobody has.
    pub acl: Acl,
    /// How many lines those were.
    pub unknown: usize,
}

impl Acl {
    /// The list in an attribute; `None` if it is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, lines) = bytes.split_first_chunk::<4>()?;
        let (lines, rest) = lines.as_chunks::<8>();
        if u32::from_le_bytes(*version) != VERSION || !rest.is_empty() {
            return None;
        }
        let line = |&[t0, t1, r0, r1, ref id @ ..]: &[u8; 8]| {
            let who = AclWho::of_tag(u16::from_le_bytes([t0, t1]), u32::from_le_bytes(*id))?;
            Some((who, u16::from_le_bytes([r0, r1])))
        };
        Self::new(lines.iter().map(line).collect::<Option<_>>()?)
    }

    /// The list of who may do what with a file that has these attributes.
    pub fn access_in(xattrs: &[Xattr]) -> Option<Self> {
        let access = xattrs.iter().find(|xattr| xattr.name == ACL_ACCESS)?;
        Self::from_bytes(&access.value)
    }

    /// The attribute that holds it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (who, rights) in &self.lines {
            let (tag, id) = who.tag();
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&rights.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    }

    /// Reads the text that GNU tar, bsdtar and star write: lines or parts between commas like
    /// `user:name:rwx`, with the number behind it (`user:name:rwx:1000`) or not. `find` looks up
    /// the number of a name, of a user if it is told `true`, else of a group.
    ///
    /// `None` if it is none, or not whole.
    pub fn from_text(text: &[u8], find: impl Fn(bool, &str) -> Option<u32>) -> Option<AclText> {
        let mut lines = Vec::new();
        let mut unknown = 0;
        for line in text.split(|byte| *byte == b'\n') {
            // What is really allowed may stand behind as a comment: `#effective:r--`.
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
            for part in line.split(|byte| *byte == b',') {
                let part = std::str::from_utf8(part).ok()?.trim();
                if part.is_empty() {
                    continue;
                }
                let (who, rights) = read_part(part, &find)?;
                match who {
                    Some(who) => lines.push((who, rights)),
                    None => unknown += 1,
                }
            }
        }
        Some(AclText { acl: Self::new(lines)?, unknown })
    }

    /// Its text, with numbers in the place of names: one part behind the other, with commas.
    pub fn to_text(&self) -> String {
        let part = |(who, rights): &(AclWho, u16)| {
            let who = match who {
                AclWho::Owner => "user:".to_owned(),
                AclWho::User(id) => format!("user:{id}"),
                AclWho::OwningGroup => "group:".to_owned(),
                AclWho::Group(id) => format!("group:{id}"),
                AclWho::Mask => "mask:".to_owned(),
                AclWho::Other => "other:".to_owned(),
            };
            let bit = |bit, letter| if rights & bit != 0 { letter } else { '-' };
            format!("{who}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x'))
        };
        self.lines.iter().map(part).collect::<Vec<_>>().join(",")
    }

    /// Whether it says no more than a mode does; systems keep no list then.
    pub fn is_mode(&self) -> bool {
        self.lines.len() == 3
    }

    /// The mode of a file that has this list: what is the group's in it is the mask.
    pub fn mode(&self, mode: u32) -> u32 {
        let group = self.rights(AclWho::Mask).or(self.rights(AclWho::OwningGroup));
        self.mode_with(mode, group.unwrap_or(0))
    }

    /// The mode of a file that cannot have this list: the group may no more than with it.
    pub fn mode_without(&self, mode: u32) -> u32 {
        let mask = self.rights(AclWho::Mask).unwrap_or(7);
        self.mode_with(mode, self.rights(AclWho::OwningGroup).unwrap_or(0) & mask)
    }

    fn mode_with(&self, mode: u32, group: u16) -> u32 {
        let rights = |who| u32::from(self.rights(who).unwrap_or(0));
        let access = rights(AclWho::Owner) << 6 | u32::from(group) << 3 | rights(AclWho::Other);
        (mode & !0o777) | access
    }

    fn rights(&self, who: AclWho) -> Option<u16> {
        self.lines.iter().find(|line| line.0 == who).map(|line| line.1)
    }

    fn new(mut lines: Vec<(AclWho, u16)>) -> Option<Self> {
        lines.sort_unstable();
        let has_twice = lines.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let is_named = lines.iter().any(|line| line.0.is_named());
        let is_sound = lines.iter().all(|(who, rights)| {
            *rights <= 7 && !matches!(who, AclWho::User(NO_ID) | AclWho::Group(NO_ID))
        });
        let acl = Self { lines };
        let has = |who| acl.rights(who).is_some();
        let is_whole = has(AclWho::Owner)
            && has(AclWho::OwningGroup)
            && has(AclWho::Other)
            && (has(AclWho::Mask) || !is_named);
        (is_sound && is_whole && !has_twice).then_some(acl)
    }
}

/// One part of a text: whom it is about, if anybody has that name, and what they may do.
fn read_part(
    part: &str,
    find: impl Fn(bool, &str) -> Option<u32>,
) -> Option<(Option<AclWho>, u16)> {
    let fields: Vec<&str> = part.split(':').map(str::trim).collect();
    let (kind, name, rights, id) = match fields[..] {
        // Some leave the empty name away.
        [kind @ ("mask" | "m" | "other" | "o"), rights] => (kind, "", rights, None),
        [kind, name, rights] => (kind, name, rights, None),
        [kind, name, rights, id] => (kind, name, rights, Some(id)),
        _ => return None,
    };
    let mut bits = 0;
    for letter in rights.chars() {
        bits |= match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            '-' => 0,
            _ => return None,
        };
    }
    let number = |is_user| {
        let id = id.and_then(|id| id.parse().ok()).or_else(|| name.parse().ok());
        id.or_else(|| find(is_user, name))
    };
    let who = match (kind, name) {
        ("user" | "u", "") => Some(AclWho::Owner),
        ("group" | "g", "") => Some(AclWho::OwningGroup),
        ("mask" | "m", "") => Some(AclWho::Mask),
        ("other" | "o", "") => Some(AclWho::Other),
        ("user" | "u", _) => number(true).map(AclWho::User),
        ("group" | "g", _) => number(false).map(AclWho::Group),
        _ => return None,
    };
    Some((who, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(is_user: bool, name: &str) -> Option<u32> {
        match (is_user, name) {
            (true, "ann") => Some(1000),
            (false, "staff") => Some(50),
            _ => None,
        }
    }

    fn read(text: &str) -> Option<AclText> {
        Acl::from_text(text.as_bytes(), find)
    }

    const PLAIN: &str =
        "user::rw-,user:7:r--,user:1000:rwx,group::r--,group:50:--x,mask::rwx,other::r--";

    #[test]
    fn text_of_all_tars_means_the_same() {
        let acl = read(PLAIN).expect("reads").acl;
        assert_eq!(acl.to_text(), PLAIN);
        assert_eq!(Acl::from_bytes(&acl.to_bytes()), Some(acl.clone()));
        for text in [
            "user::rw-\nuser:7:r--\nuser:ann:rwx\ngroup::r--\ngroup:staff:--x\nmask::rwx\nother::r--\n",
            "user::rw-,group::r--,other::r--,user:x:r--:7,user:y:rwx:1000,group:z:--x:50,mask::rwx",
            "u::rw, u:7:r, u:ann:rwx #effective:rwx\n# owner: ann\ng::r,g:50:x,m:rwx,other:r--",
        ] {
            assert_eq!(read(text), Some(AclText { acl: acl.clone(), unknown: 0 }), "{text}");
        }
    }

    #[test]
    fn a_line_about_nobody_is_left_out_and_counted() {
        let found = read("user::rw-,user:bob:rwx,group::r--,mask::rwx,other::---").expect("reads");
        assert_eq!((found.unknown, found.acl.to_text().contains("bob")), (1, false));
    }

    #[test]
    fn what_is_no_list_is_none() {
        for text in [
            "",
            "user::rw-,group::r--",
            "user::rw-,user:7:r--,group::r--,other::r--",
            "user::rw-,user::r--,group::r--,other::r--",
            "user::rw-,group::r--,other::rwz",
            "user::rw-,group::r--,other::r--,nobody:1:r--",
            "user::rw-,user:4294967295:r--,group::r--,mask::r--,other::r--",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let bytes = read(PLAIN).expect("reads").acl.to_bytes();
        for end in 0..bytes.len() {
            assert_eq!(Acl::from_bytes(&bytes[..end]), None, "{end}");
        }
        let version_3 = [&[3][..], &bytes[1..]].concat();
        assert_eq!(Acl::from_bytes(&version_3), None);
    }

    #[test]
    fn modes_have_the_mask_or_what_is_really_the_groups() {
        let acl = read("user::rw-,user:7:rwx,group::r-x,mask::rw-,other::---").expect("reads").acl;
        assert_eq!(acl.mode(0o4777), 0o4660);
        assert_eq!(acl.mode_without(0o4777), 0o4640);
        assert!(!acl.is_mode());
        let acl = read("user::rwx,group::r-x,other::--x").expect("reads").acl;
        assert_eq!((acl.mode(0), acl.mode_without(0), acl.is_mode()), (0o751, 0o751, true));
    }
}
