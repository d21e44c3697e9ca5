//! Every reason that a condition, a failure, a step or a call may carry, in one place.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A machine-readable cause, CamelCase on the wire. Readers must tolerate ones that they do not know.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[$doc])* $name),+
        }

        impl Reason {
            /// All reasons, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

reasons! {
    // Of a definition's `Ready`.
    /// The definition can be run.
    Accepted,
    /// The steps do not form a usable graph.
    InvalidGraph,
    /// An expression does not compile or refers to something that is not there.
    InvalidExpression,
    /// `inputSchema` is not a JSON Schema.
    InvalidSchema,
    /// Larger than the operator can promise to store.
    TooLarge,
    /// A URL that the operator's configuration does not allow.
    DestinationNotAllowed,

    // Of a run that is under way.
    /// Nothing was sent yet.
    Pending,
    /// Going forward.
    Running,
    /// Past the commit point: making final what was tried.
    Confirming,
    /// Undoing what took effect.
    Compensating,
    /// Held by `spec.suspend`.
    Suspended,

    // Of a run's end.
    /// Every step is done.
    Succeeded,
    /// Every effect is undone.
    Compensated,
    /// Every effect is undone, some of them by hand, as a person said.
    CompensatedByHand,
    /// A person ended the run as it stood.
    Abandoned,
    /// `spec.input` violates the definition's `inputSchema`.
    InvalidInput,
    /// The definition did not appear in time.
    DefinitionNotFound,
    /// The definition did not become Ready in time.
    DefinitionNotReady,

    // Why a run needs a person.
    /// A compensation used up its attempts, or was refused by a rule.
    CompensationExhausted,
    /// A confirm used up its attempts, or was refused.
    ConfirmExhausted,
    /// The action of a step after the Pivot used up its attempts.
    RetriableExhausted,
    /// The action of a step after the Pivot was refused.
    RetriableRejected,
    /// The Pivot was refused or used up its attempts, and an earlier attempt may have taken effect.
    PivotInDoubt,
    /// A request that must be sent cannot be made.
    Unrenderable,
    /// The pinned revision of the definition is gone.
    RevisionNotFound,

    // Why a run turned, and why a call failed.
    /// The participant refused.
    Rejected,
    /// No attempt is left.
    AttemptsExhausted,
    /// The run's `activeDeadlineSeconds` passed.
    DeadlineExceeded,
    /// `spec.cancellation`.
    Cancelled,
    /// The run was deleted.
    Deleted,
    /// An expression failed on the values it met.
    ExpressionError,
    /// An output is larger than its bound.
    OutputTooLarge,
    /// A 202 answer that does not say where to ask again.
    NoLocation,
    /// A redirect, which is never followed.
    RedirectRefused,
    /// A Secret or its key is not there.
    SecretNotFound,
    /// The operator may not read the Secret.
    SecretForbidden,
    /// A person said that the Pivot has no effect.
    MarkedFailed,
    /// The status would not fit into the API server.
    StatusTooLarge,

    // Why an attempt waits.
    /// 5xx.
    ServerError,
    /// 408, 425 or 429.
    Throttled,
    /// 409 while the same key is still being worked on.
    Conflict,
    /// No answer in time, or the connection was lost after sending.
    Timeout,
    /// Nothing was sent: refused, DNS or TLS failure.
    ConnectionFailed,
    /// The participant works on it and said where to ask.
    InProgress,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text).ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

/// A reason that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the reason '{0}': this version does not know it")]
pub struct UnknownReason(String);
