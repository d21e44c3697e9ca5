//! Every bound on expressions, in one place.

/// Characters of one expression, without `${` and `}`.
pub const EXPRESSION_CHARS: usize = 1_024;
/// Expressions in one template; a body is one template.
pub const EXPRESSIONS_PER_TEMPLATE: usize = 512;
/// Brackets inside one another, checked before parsing.
pub const BRACKET_DEPTH: usize = 32;
/// Conditional operators (`?:`), checked before parsing.
pub const CONDITIONALS: usize = 32;
/// Operators, dots, commas and brackets, checked before parsing.
pub const SYMBOLS: usize = 400;
/// Nodes of one parsed expression.
pub const NODES: usize = 400;
/// Levels of one parsed expression.
pub const EXPRESSION_DEPTH: usize = 96;
/// Weight of a regular expression, an estimate of its compiled size.
pub const PATTERN_WEIGHT: usize = 20_000;
/// Steps of evaluation for one rendering (all expressions of a template); some tens of milliseconds at most.
pub const WORK: u64 = 1_000_000;
/// Bytes of one text, and of all values in one rendered document, before JSON escapes.
pub const TEXT_BYTES: usize = 1 << 20;
/// Bytes of one rendered URL.
pub const URL_BYTES: usize = 8 << 10;
/// Levels of a result. Results are stored in the status and read back by parsers that stop at 128.
pub const RESULT_DEPTH: usize = 64;
/// Levels of a JSON document that holds templates.
pub const DOCUMENT_DEPTH: usize = 64;

/// Stack that parsing gets: without optimisation, a level of brackets takes the parser about 170 KiB, an operator 35 KiB.
pub(super) const PARSE_STACK: usize = 32 << 20;
/// Stack that must be left for evaluation; else it moves to a new one.
pub(super) const EVAL_RED_ZONE: usize = 1 << 20;
/// Size of that new stack.
pub(super) const EVAL_STACK: usize = 4 << 20;
