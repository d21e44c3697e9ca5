//! Whether the operator's configuration allows a definition to call what it calls.

use std::fmt;
use std::sync::Arc;

use crate::api::Reason;
use crate::api::definition::{Call, SagaDefinitionSpec};
use crate::saga::Problem;

type Check = dyn Fn(&str, &str) -> Result<(), String> + Send + Sync;

/// The rule for destinations: a namespace and a URL as written in a definition, whose scheme, host and port are literal.
#[derive(Clone)]
pub struct Destinations(Arc<Check>);

impl Destinations {
    /// The rule. Its error says what is wrong with the URL.
    pub fn new(check: impl Fn(&str, &str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    /// Every call of a definition that may not be made.
    pub(super) fn problems(&self, namespace: &str, spec: &SagaDefinitionSpec) -> Vec<Problem> {
        let refused = |(field, call): (String, &Call)| {
            let message = (self.0)(namespace, &call.http.url).err()?;
            Some(Problem::new(format!("{field}.http.url"), Reason::DestinationNotAllowed, message))
        };
        calls(spec).filter_map(refused).collect()
    }
}

impl fmt::Debug for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Destinations")
    }
}

fn calls(spec: &SagaDefinitionSpec) -> impl Iterator<Item = (String, &Call)> {
    spec.steps.iter().enumerate().flat_map(|(index, step)| {
        step.calls().map(move |(direction, call)| (format!("spec.steps[{index}].{}", direction.field()), call))
    })
}
