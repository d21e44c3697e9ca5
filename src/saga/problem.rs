//! What is wrong with a definition, said so that its author can mend it.

use std::fmt;

use crate::api::Reason;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON path of the field, as `spec.steps[1].action.http.url`.
    pub field: String,
    /// `InvalidGraph`, `InvalidExpression`, `InvalidSchema`, `TooLarge` or `DestinationNotAllowed`.
    pub reason: Reason,
    /// What was found and what to do.
    pub message: String,
}

impl Problem {
    /// A mistake at a field.
    pub fn new(field: impl Into<String>, reason: Reason, message: impl Into<String>) -> Self {
        Self { field: field.into(), reason, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}
