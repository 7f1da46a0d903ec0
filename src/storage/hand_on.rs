//! What a wrapper does not change, it hands on to the storage in it.

/// In an `impl Storage`: methods that call the same method of a field.
///
/// ```
/// use larder::error::StorageError;
/// use larder::hand_on;
/// use larder::storage::{PutMode, SharedStorage, Storage};
///
/// /// Storage that takes nothing.
/// struct Full {
///     inner: SharedStorage,
/// }
///
/// impl Storage for Full {
///     hand_on!(inner: location, get, get_range, head, list, delete, concurrency);
///
///     fn put(&self, name: &str, _: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
///         self.inner.put(name, &[], mode)
///     }
/// }
/// ```
#[macro_export]
macro_rules! hand_on {
    ($inner:ident: $($method:ident),+ $(,)?) => {
        $( $crate::hand_on!(@$method $inner); )+
    };
    (@location $inner:ident) => {
        fn location(&self) -> &str {
            self.$inner.location()
        }
    };
    (@put $inner:ident) => {
        fn put(
            &self,
            name: &str,
            parts: &[&[u8]],
            mode: $crate::storage::PutMode,
        ) -> Result<(), $crate::error::StorageError> {
            self.$inner.put(name, parts, mode)
        }
    };
    (@get $inner:ident) => {
        fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, $crate::error::StorageError> {
            self.$inner.get(name, len_max)
        }
    };
    (@get_range $inner:ident) => {
        fn get_range(
            &self,
            name: &str,
            offset: u64,
            buf: &mut [u8],
        ) -> Result<(), $crate::error::StorageError> {
            self.$inner.get_range(name, offset, buf)
        }
    };
    (@head $inner:ident) => {
        fn head(
            &self,
            name: &str,
        ) -> Result<$crate::storage::ObjectMeta, $crate::error::StorageError> {
            self.$inner.head(name)
        }
    };
    (@list $inner:ident) => {
        fn list(
            &self,
            prefix: &str,
            found: &mut dyn FnMut($crate::storage::ObjectMeta),
        ) -> Result<(), $crate::error::StorageError> {
            self.$inner.list(prefix, found)
        }
    };
    (@delete $inner:ident) => {
        fn delete(&self, name: &str) -> Result<(), $crate::error::StorageError> {
            self.$inner.delete(name)
        }
    };
    (@concurrency $inner:ident) => {
        fn concurrency(&self) -> usize {
            self.$inner.concurrency()
        }
    };
    (@warning $inner:ident) => {
        fn warning(&self) -> Option<&str> {
            self.$inner.warning()
        }
    };
    (@object_lock $inner:ident) => {
        fn object_lock(&self) -> Option<&dyn $crate::storage::ObjectLock> {
            self.$inner.object_lock()
        }
    };
    (@archive $inner:ident) => {
        fn archive(&self) -> Option<&dyn $crate::storage::Archive> {
            self.$inner.archive()
        }
    };
    (@clean_unfinished $inner:ident) => {
        fn clean_unfinished(
            &self,
            age: std::time::Duration,
        ) -> Result<u64, $crate::error::StorageError> {
            self.$inner.clean_unfinished(age)
        }
    };
}

pub(in crate::storage) use crate::hand_on;
