//! Whether a definition can be run.

use kube::ResourceExt;

use super::Context;
use crate::api::SagaDefinition;
use crate::controller::revision;
use crate::saga::Problem;

/// What is wrong with a definition, or nothing.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It compiles and calls nothing that it may not call. The name of the revision.
    Accepted(String),
    /// It cannot be run. Not empty, in the order of the fields.
    Refused(Vec<Problem>),
}

impl Verdict {
    /// The revision, if it is accepted.
    pub(super) fn revision(&self) -> Option<&str> {
        match self {
            Self::Accepted(revision) => Some(revision),
            Self::Refused(_) => None,
        }
    }
}

pub(super) async fn judge(context: &Context, definition: &SagaDefinition) -> Verdict {
    let namespace = definition.namespace().unwrap_or_default();
    let name = revision::name(&definition.name_any(), &definition.spec);
    let compiled = context.compiled.compile(&namespace, &name, &definition.spec).await;
    let mut problems = compiled.err().unwrap_or_default();
    problems.extend(context.destinations.problems(&namespace, &definition.spec));
    if problems.is_empty() { Verdict::Accepted(name) } else { Verdict::Refused(problems) }
}
