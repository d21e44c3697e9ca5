//! Names that stand outside the schemas: group, finalizers, labels, headers.

/// The API group of both kinds.
pub const GROUP: &str = "sagas.dev";
/// The only served and stored version.
pub const VERSION: &str = "v1alpha1";
/// On every run from before its first intent until after its end: deletion waits for the compensation.
pub const RUN_FINALIZER: &str = "sagas.dev/compensate";
/// On definitions and revisions that unfinished runs use.
pub const IN_USE_FINALIZER: &str = "sagas.dev/in-use";
/// On runs, the name of their definition; written only where it costs no write of its own.
pub const DEFINITION_LABEL: &str = "sagas.dev/definition";
/// On the Leases of replicas that share shards, the name of their election: by it they find each other.
pub const ELECTION_LABEL: &str = "sagas.dev/election";
/// Field manager and reporting controller.
pub const CONTROLLER: &str = "saga-operator";

/// Words that CEL reserves. Neither a step nor an output may be called so, because `steps.<name>` would not parse.
pub const CEL_KEYWORDS: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Header names on the wire. Participants see them in any case.
pub mod header {
    /// A quoted string: `"<run uid>/<step>/<direction>"` (draft-ietf-httpapi-idempotency-key-header).
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// `<namespace>/<name>` of the run.
    pub const RUN: &str = "saga-run";
    /// UID of the run.
    pub const RUN_UID: &str = "saga-run-uid";
    /// Name of the step.
    pub const STEP: &str = "saga-step";
    /// `forward`, `compensate` or `confirm`.
    pub const DIRECTION: &str = "saga-direction";
    /// 1 for the first attempt.
    pub const ATTEMPT: &str = "saga-attempt";
    /// The fence of the stored intent.
    pub const FENCE: &str = "saga-fence";
    /// RFC 3339 time after which the operator takes the attempt as unanswered.
    pub const DEADLINE: &str = "saga-deadline";
    /// On compensations: `succeeded` or `unknown`.
    pub const FORWARD_OUTCOME: &str = "saga-forward-outcome";
    /// W3C Trace Context; one trace a run.
    pub const TRACEPARENT: &str = "traceparent";

    /// Headers that a definition may not set, in lower case: they are the operator's own or the connection's.
    pub const RESERVED: &[&str] = &[
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        IDEMPOTENCY_KEY,
        TRACEPARENT,
        "tracestate",
    ];
    /// Nor any header that begins so.
    pub const RESERVED_PREFIX: &str = "saga-";

    /// Whether a definition may not set a header. `name` in lower case.
    pub fn is_reserved(name: &str) -> bool {
        RESERVED.contains(&name) || name.starts_with(RESERVED_PREFIX)
    }
}
