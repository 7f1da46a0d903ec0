//! From a path to what is there, through the links that are followed.

use crate::error::Result;
use crate::model::FileKind;
use crate::view::{Attributes, NodeId, View};

/// Links that are followed on the way to one file.
const LINKS_MAX: u32 = 40;

/// The way from the root to a node.
#[derive(Clone)]
pub(super) struct Walk {
    /// The folders from the root on.
    steps: Vec<Step>,
    links: u32,
}

#[derive(Clone, Copy)]
struct Step {
    node: NodeId,
    /// Whether it is part of a snapshot.
    lasting: bool,
}

impl Walk {
    /// A walk that begins at the root.
    pub(super) fn start(view: &View) -> Result<Self> {
        let lasting = view.attributes(NodeId::ROOT)?.lasting;
        Ok(Self { steps: vec![Step { node: NodeId::ROOT, lasting }], links: 0 })
    }

    /// What is at `path`, from where the walk is; the walk is there then. `None` if nothing is
    /// there, or nothing that is shown.
    ///
    /// # Errors
    /// Those of [`View::lookup`].
    pub(super) fn go(&mut self, view: &View, path: &[u8]) -> Result<Option<Attributes>> {
        let mut found = None;
        let mut names = path.split(|b| *b == b'/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            let Some(mut next) = self.step(view, name)? else { return Ok(None) };
            if next.kind == FileKind::Symlink {
                self.steps.pop();
                let Some(target) = self.follow(view, &next)? else { return Ok(None) };
                // Links in snapshots lead to files.
                if next.lasting && (target.kind == FileKind::Dir || names.peek().is_some()) {
                    return Ok(None);
                }
                next = target;
            }
            found = Some(next);
        }
        match found {
            Some(found) => Ok(Some(found)),
            None => self.steps.last().map(|here| view.attributes(here.node)).transpose(),
        }
    }

    /// One step down, or up with `..`, which stays in its snapshot.
    fn step(&mut self, view: &View, name: &[u8]) -> Result<Option<Attributes>> {
        let Some(here) = self.steps.last().copied() else { return Ok(None) };
        match name {
            b"." => {}
            b".." => {
                let above = self.steps.len().checked_sub(2).map(|at| self.steps[at]);
                if above.is_none_or(|above| above.lasting != here.lasting) {
                    return Ok(None);
                }
                self.steps.pop();
            }
            name => {
                let found = view.lookup(here.node, name)?;
                let step = |found: &Attributes| Step { node: found.node, lasting: found.lasting };
                self.steps.extend(found.as_ref().map(step));
                return Ok(found);
            }
        }
        self.steps.last().map(|here| view.attributes(here.node)).transpose()
    }

    /// Where a link leads to that lies in the folder where the walk is.
    fn follow(&mut self, view: &View, link: &Attributes) -> Result<Option<Attributes>> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Ok(None);
        }
        let target = view.read_link(link.node)?;
        if target.starts_with(b"/") {
            // As it was meant: from the root of its snapshot, where that can be seen.
            let root = self.steps.iter().position(|step| step.lasting).filter(|at| *at > 0);
            let Some(root) = root.filter(|_| link.lasting) else { return Ok(None) };
            self.steps.truncate(root + 1);
        }
        self.go(view, &target)
    }
}
