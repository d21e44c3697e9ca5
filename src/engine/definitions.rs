//! The port `Definitions`: which definition a run follows.

use std::future::Future;
use std::sync::Arc;

use crate::journal::JournalError;
use crate::saga::{Definition, Unready};

/// Where compiled definitions come from. Names are within the namespace of the run.
pub trait Definitions: Send + Sync + 'static {
    /// The newest accepted revision of a definition: for a run that has none pinned.
    fn current(&self, namespace: &str, name: &str) -> impl Future<Output = Result<Arc<Definition>, Unready>> + Send;

    /// The revision that a run pinned; when it is gone, the definition of that name if it still says the same.
    fn pinned(
        &self,
        namespace: &str,
        name: &str,
        revision: &str,
    ) -> impl Future<Output = Result<Arc<Definition>, Unready>> + Send;

    /// Whether a revision that was just pinned is there and not about to be collected, by a quorum read.
    fn holds(&self, namespace: &str, revision: &str) -> impl Future<Output = Result<bool, JournalError>> + Send;
}

impl<D: Definitions> Definitions for Arc<D> {
    fn current(&self, namespace: &str, name: &str) -> impl Future<Output = Result<Arc<Definition>, Unready>> + Send {
        (**self).current(namespace, name)
    }

    fn pinned(
        &self,
        namespace: &str,
        name: &str,
        revision: &str,
    ) -> impl Future<Output = Result<Arc<Definition>, Unready>> + Send {
        (**self).pinned(namespace, name, revision)
    }

    fn holds(&self, namespace: &str, revision: &str) -> impl Future<Output = Result<bool, JournalError>> + Send {
        (**self).holds(namespace, revision)
    }
}
