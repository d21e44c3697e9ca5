//! Expressions: CEL inside `${...}`, compiled once, evaluated within bounds.
//!
//! # Flow
//! A template is cut into literal text and expressions (`split`). Each expression is scanned (`guard`), its texts are
//! taken out (`literal`), and the `cel` crate parses the rest (`parse`); that becomes a small tree in which every name
//! is known (`lower`). Rendering walks that tree over borrowed JSON (`eval`) and joins the results.
//!
//! Five forms, one for each place that holds a template: [`Text`] (headers), [`Json`] (bodies), [`Url`],
//! [`Condition`] (`when`) and [`Single`] (outputs).
//!
//! # Guarantees
//! - Pure: no clock, no randomness, no I/O. The same template and scope give the same bytes; maps are sorted.
//! - Bounded: whatever the definition says and whatever a participant answers, compiling and rendering end with a
//!   value or an error, in bounded time, memory and stack ([`limit`]). They never abort the process.
//! - Values are never parsed again: a `${` inside an input is text.
//! - A message names the expression and the rule it broke, never a value from the scope: messages end in status.
//! - Every step and output that an expression may read is known after compiling ([`Reference`]).
//!
//! # Assumptions
//! `serde_json` keeps its maps sorted and numbers as 64 bits (its features `preserve_order` and
//! `arbitrary_precision` are off; a test watches this).
//!
//! # Caveats
//! - The evaluator is ours; only the grammar is the `cel` crate's. Its own evaluator (0.13) has no limit on work,
//!   iterates maps in random order, answers `false` for a member of a text and can panic. A property test holds the two
//!   together where both have an answer.
//! - Stricter than CEL: comprehensions do not nest, patterns of `matches` are literal, `!!` and `--` are refused.
//! - JSON has no bytes, durations and timestamps, so neither have expressions. Map keys are text.
//! - A number of JSON is an int where it fits 64 bits with a sign, a uint where it fits without, else a double. As
//!   CEL demands, `1 + 1.0` is an error; write `double(input.count) + 1.0`.
//! - In text a double looks as in JSON (`2.0`), also from `string()`; lists and maps become compact JSON.

#![warn(clippy::disallowed_methods)]

mod budget;
mod condition;
mod error;
mod eval;
mod function;
mod guard;
mod json;
mod lex;
pub mod limit;
mod literal;
mod lower;
mod node;
mod operator;
mod parse;
mod pattern;
mod program;
mod scope;
mod single;
mod split;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod url;
mod value;

pub use condition::Condition;
pub use error::{CompileError, EvalError, Fault, Problem, Site};
pub use json::Json;
pub use scope::{Call, Response, Run, Scope};
pub use single::Single;
pub use text::Text;
pub use url::{Origin, Scheme, Url};

/// Which root variables an expression may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variables {
    /// What is known outside of a call: `input`, `steps` and `run`.
    Run,
    /// What is known before a call: the same and `call`.
    Request,
    /// The same and the answer to the call: `response`.
    Response,
}

/// An output of a step, or all outputs of a step, that an expression refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The name of the step.
    pub step: String,
    /// The name of the output; `None` where the expression takes all outputs of the step as one map.
    pub output: Option<String>,
}
