//! Further locations of a repository: its mirrors, and places for its data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaceRole {
    /// The same objects as in the repository.
    Mirror,
    /// Packs of file contents live there, and not in the repository.
    Data,
    /// Something that a newer program knows; kept as it is.
    Other(u8),
}

impl PlaceRole {
    /// The word used on screens and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Data => "data",
            Self::Other(_) => "other",
        }
    }
}

/// One further location of a repository. Holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// What it is for.
    pub role: PlaceRole,
    /// What people call it: `[a-z0-9_-]`, at most 40 of them; each name once.
    pub name: String,
    /// Where it is, as it can be given to `--repo`.
    pub location: String,
}

/// The longest name of a place.
const NAME_LEN_MAX: usize = 40;

impl Place {
    /// A mirror.
    pub fn mirror(name: impl Into<String>, location: impl Into<String>) -> Self {
        Self { role: PlaceRole::Mirror, name: name.into(), location: location.into() }
    }

    /// Whether this can be the name of a place.
    pub fn is_name(name: &str) -> bool {
        (1..=NAME_LEN_MAX).contains(&name.len())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    }
}

/// When a commit counts, in a repository with mirrors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MirrorPolicy {
    /// Every mirror is written in the run. The commit counts once the repository itself has it;
    /// if a mirror is missing from it, it is degraded.
    #[default]
    All,
    /// As `All`, but more than half of all copies, the repository's own among them, must have
    /// everything that the commit rests on: else the run fails before it.
    Quorum,
    /// Only the repository itself is written in the run, mirrors after it.
    Async,
}

impl MirrorPolicy {
    /// The name used on the command line, in JSON and in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Quorum => "quorum",
            Self::Async => "async",
        }
    }
}

impl fmt::Display for MirrorPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for MirrorPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "quorum" => Ok(Self::Quorum),
            "async" => Ok(Self::Async),
            _ => Err(format!("`{text}` is not all, quorum or async")),
        }
    }
}

/// All further locations of a repository, and what its commits ask of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// In the order in which they were added.
    pub all: Vec<Place>,
    /// What counts if a run says nothing else.
    pub policy: MirrorPolicy,
}

impl Places {
    /// Most places of a repository.
    pub const COUNT_MAX: usize = 64;

    /// The mirrors among them.
    pub fn mirrors(&self) -> impl Iterator<Item = &Place> {
        self.all.iter().filter(|place| place.role == PlaceRole::Mirror)
    }

    /// The place of the packs of data, if it is another one.
    pub fn data(&self) -> Option<&Place> {
        self.all.iter().find(|place| place.role == PlaceRole::Data)
    }

    /// Says that the packs of data are at another location from now on.
    ///
    /// # Errors
    /// [`Error::Usage`] if they are with the repository, or the location is there already.
    pub fn move_data(&mut self, location: &str) -> Result<()> {
        if let Some(other) = self.all.iter().find(|other| other.location == location) {
            return Err(Error::usage(format!("`{location}` is there as `{}`", other.name)));
        }
        match self.all.iter_mut().find(|place| place.role == PlaceRole::Data) {
            Some(place) => location.clone_into(&mut place.location),
            None => return Err(without_data_place()),
        }
        Ok(())
    }

    /// The place with this name.
    pub fn find(&self, name: &str) -> Option<&Place> {
        self.all.iter().find(|place| place.name == name)
    }

    /// Adds a place.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that cannot be one or is taken, and for a location that is
    /// there already.
    pub fn add(&mut self, place: Place) -> Result<()> {
        if !Place::is_name(&place.name) {
            return Err(Error::usage_hint(
                format!("`{}` cannot be the name of a place", place.name),
                "use up to 40 of `a-z`, `0-9`, `_` and `-`",
            ));
        }
        if let Some(other) = self.find(&place.name) {
            let hint = match other.location == place.location {
                true => format!("`larder mirror sync {}` brings it up to date", place.name),
                false => "choose another name".into(),
            };
            let what = format!("`{}` is `{}` already", place.name, other.location);
            return Err(Error::usage_hint(what, hint));
        }
        if let Some(other) = self.all.iter().find(|other| other.location == place.location) {
            return Err(Error::usage(format!("`{}` is there as `{}`", place.location, other.name)));
        }
        if self.all.len() >= Self::COUNT_MAX {
            let most = Self::COUNT_MAX;
            return Err(Error::usage(format!("a repository has at most {most} further places")));
        }
        self.all.push(place);
        Ok(())
    }

    /// Takes a place out, and returns it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn remove(&mut self, name: &str) -> Result<Place> {
        match self.all.iter().position(|place| place.name == name) {
            Some(at) => Ok(self.all.remove(at)),
            None => Err(Error::NotFound { what: "place", name: name.into() }),
        }
    }
}

/// The error of a repository that has all of its data with it.
pub fn without_data_place() -> Error {
    Error::usage_hint(
        "the data of this repository is not at another place",
        "that is chosen when it is made: `larder repo init --data LOCATION`; a repository as a \
         whole moves by a mirror: `larder mirror add`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_and_each_location_is_there_once() {
        let mut places = Places::default();
        places.add(Place::mirror("attic", "/mnt/attic")).unwrap();
        for (name, location) in
            [("attic", "/mnt/b"), ("b", "/mnt/attic"), ("", "/c"), ("Ä", "/c"), ("a/b", "/c")]
        {
            let error = places.add(Place::mirror(name, location)).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{name} {location}");
        }
        assert_eq!(places.mirrors().count(), 1);
        assert!(places.remove("cellar").is_err());
        assert_eq!(places.remove("attic").unwrap().location, "/mnt/attic");
        assert_eq!(places, Places::default());
    }

    #[test]
    fn policies_have_names() {
        for policy in [MirrorPolicy::All, MirrorPolicy::Quorum, MirrorPolicy::Async] {
            assert_eq!(policy.as_str().parse(), Ok(policy));
        }
        assert!("some".parse::<MirrorPolicy>().is_err());
    }
}
