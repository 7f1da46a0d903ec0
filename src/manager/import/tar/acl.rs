//! Lists of access rights (POSIX ACLs) of members: as attributes or as text.

use crate::fsmeta::OwnerNames;
use crate::manager::import::member::{Member, MemberKind};
use crate::model::{ACL_ACCESS, ACL_DEFAULT, Acl, Xattr};

/// The texts that a member has.
#[derive(Clone, Debug, Default)]
pub(super) struct AclTexts {
    pub(super) access: Option<Vec<u8>>,
    pub(super) default: Option<Vec<u8>>,
    /// Whether it has a list of the kind of NFS 4, which Linux does not keep.
    pub(super) is_nfs: bool,
}

/// The names of this machine, read when a list has a name without number.
#[derive(Default)]
pub(super) struct AclNames(std::cell::OnceCell<OwnerNames>);

impl AclNames {
    fn find(&self, is_user: bool, name: &str) -> Option<u32> {
        let names = self.0.get_or_init(OwnerNames::load);
        if is_user { names.uid(name) } else { names.gid(name) }
    }
}

impl AclTexts {
    /// Gives a member its lists as attributes, and the mode that files with such a list have. An
    /// attribute that it has already counts, since it has numbers. Returns what somebody should
    /// know.
    pub(super) fn give(self, member: &mut Member, names: &AclNames) -> Option<&'static str> {
        if matches!(member.kind, MemberKind::Symlink(_) | MemberKind::HardLink(_)) {
            return None;
        }
        let mut notice = self.is_nfs.then_some(
            "its access control lists of the kind of NFS 4 were left out: only the modes are kept",
        );
        for (name, text) in [(ACL_ACCESS, self.access), (ACL_DEFAULT, self.default)] {
            let is_access = name == ACL_ACCESS;
            let known = member.xattrs.iter().find(|xattr| xattr.name == name);
            let mut acl = known.and_then(|xattr| Acl::from_bytes(&xattr.value));
            if acl.is_none()
                && let Some(text) = text
            {
                let Some(read) = Acl::from_text(&text, |user, name| names.find(user, name)) else {
                    notice = Some("access control lists that cannot be read were left out");
                    if is_access {
                        // Perhaps the mode has the mask in the place of the group's rights.
                        member.mode &= !0o070;
                    }
                    continue;
                };
                if read.unknown > 0 {
                    notice = Some(
                        "access control lists name users or groups that this machine does not \
                         know: those lines were left out",
                    );
                }
                if !read.acl.is_mode() || !is_access {
                    member.xattrs.retain(|xattr| xattr.name != name);
                    member.xattrs.push(Xattr { name: name.to_vec(), value: read.acl.to_bytes() });
                }
                acl = Some(read.acl);
            }
            if let Some(acl) = acl
                && is_access
            {
                member.mode = acl.mode(member.mode);
            }
        }
        notice
    }
}
