//! Definitions compiled once for all runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::{Reason, SagaDefinitionSpec};
use crate::saga::{Definition, Problem};

/// So many are remembered; beyond it all are forgotten, which costs each a compilation.
const MAX_COMPILED: usize = 1024;

type Known = HashMap<(String, String), Arc<Definition>>;

/// By namespace and name of the revision, which holds a hash of the spec: nothing in here can be out of date.
#[derive(Debug, Default)]
pub(super) struct Compiled(Mutex<Known>);

impl Compiled {
    /// What is remembered.
    pub(super) fn get(&self, namespace: &str, revision: &str) -> Option<Arc<Definition>> {
        self.map().get(&(namespace.to_owned(), revision.to_owned())).cloned()
    }

    /// What is remembered, or made from the spec.
    ///
    /// # Errors
    /// Every mistake in the spec.
    pub(super) async fn compile(
        &self,
        namespace: &str,
        revision: &str,
        spec: &SagaDefinitionSpec,
    ) -> Result<Arc<Definition>, Vec<Problem>> {
        if let Some(known) = self.get(namespace, revision) {
            return Ok(known);
        }
        let (own_spec, own_name) = (spec.clone(), revision.to_owned());
        // On a thread of its own: it may take long for a hostile definition, and must not take the operator with it.
        let compiling = tokio::task::spawn_blocking(move || Definition::compile(&own_spec, &own_name));
        let compiled = compiling.await.unwrap_or_else(|error| {
            tracing::error!(namespace, revision, %error, "the compiler broke on a definition");
            let message = "must not break the compiler: please report this definition";
            Err(vec![Problem::new("spec", Reason::InvalidExpression, message)])
        })?;
        let compiled = Arc::new(compiled);
        let mut map = self.map();
        if map.len() >= MAX_COMPILED {
            map.clear();
        }
        map.insert((namespace.to_owned(), revision.to_owned()), compiled.clone());
        Ok(compiled)
    }

    fn map(&self) -> MutexGuard<'_, Known> {
        // Nothing that holds the lock leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
