//! What users see: the kinds `SagaDefinition` and `SagaRun` of `sagas.dev/v1alpha1`, and every name in them.
//!
//! Data only: serde and schemars types with their bounds and admission rules. What the fields mean is decided in
//! [`crate::saga`].

pub mod condition;
pub mod definition;
pub mod names;
pub mod reason;
mod rules;
pub mod run;
mod run_status;
pub mod schema;

pub use condition::{Condition, ConditionStatus};
pub use definition::{SagaDefinition, SagaDefinitionSpec, SagaDefinitionStatus};
pub use reason::Reason;
pub use run::{SagaRun, SagaRunSpec, SagaRunStatus};
