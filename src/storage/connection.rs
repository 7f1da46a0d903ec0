//! What opening a location takes besides it: where secrets come from, and what stands between the
//! engine and the service.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::runtime::CancelToken;

/// How a location is reached. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Where secrets come from.
    pub access: Access,
    /// Ends waits and repetitions.
    pub cancel: CancelToken,
}

/// Secrets by the names of the environment variables that they are known by everywhere
/// (`AWS_ACCESS_KEY_ID`, ...): those that were given to it, else those of the environment.
#[derive(Clone, Default)]
pub struct Access {
    given: Arc<BTreeMap<String, Zeroizing<String>>>,
}

impl Access {
    /// Looks here before it looks at the environment.
    pub fn with(given: impl IntoIterator<Item = (String, String)>) -> Self {
        let given = given.into_iter().map(|(name, value)| (name, Zeroizing::new(value)));
        Self { given: Arc::new(given.collect()) }
    }

    /// The value of `name`, if it has one that is not empty.
    pub fn get(&self, name: &str) -> Option<Zeroizing<String>> {
        let environment = || std::env::var(name).ok().map(Zeroizing::new);
        self.given.get(name).cloned().or_else(environment).filter(|value| !value.is_empty())
    }
}

/// Names alone.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.given.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_hides_the_environment_and_is_never_shown() {
        let access = Access::with([("PATH".to_owned(), "hunter2".to_owned())]);
        assert_eq!(access.get("PATH").unwrap().as_str(), "hunter2");
        assert_eq!(Access::default().get("PATH").unwrap().as_str(), std::env::var("PATH").unwrap());
        assert!(access.get("LARDER_NO_SUCH_NAME").is_none());
        let empty = Access::with([("PATH".to_owned(), String::new())]);
        assert!(empty.get("PATH").is_none(), "an empty value says that there is none");
        assert_eq!(format!("{access:?}"), "{\"PATH\"}");
    }
}
