//! Regular expressions for `matches`: literal, and small enough to be compiled at every use.

use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, FunctionContext};

use crate::expr::error::{Fault, Problem};
use crate::expr::limit;
use crate::expr::node::Node;

/// Checks the pattern of `matches` when the template is compiled.
///
/// # Errors
/// A pattern that is computed, too large or not valid.
pub(super) fn check(pattern: Option<&Node>) -> Result<(), Problem> {
    let Some(Node::Text(pattern)) = pattern else {
        return Err(Problem::Unsupported("the pattern of `matches` must be a literal text"));
    };
    if weight(pattern) > limit::PATTERN_WEIGHT || is_match("", pattern).is_err() {
        return Err(Problem::Pattern);
    }
    Ok(())
}

/// Whether `text` holds a match, in time linear in it.
pub(super) fn is_match(text: &str, pattern: &str) -> Result<bool, Fault> {
    let context = Context::empty();
    let call = FunctionContext::new("matches", None, &context, &[]);
    cel::functions::matches(&call, This(Arc::new(text.to_owned())), Arc::new(pattern.to_owned()))
        .map_err(|_| Fault::Conversion("matches"))
}

/// How large a pattern may become when compiled: 1 for a character, 200 for a class (those of Unicode are large),
/// times every number of a counted repetition, as if all were nested.
pub(super) fn weight(pattern: &str) -> usize {
    let mut sum = 1usize;
    let mut factor = 1usize;
    let mut characters = pattern.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                let class = characters.next().is_some_and(|c| c.is_ascii_alphabetic());
                sum += if class { 200 } else { 1 };
            }
            '[' | '.' => sum += 200,
            '{' => {
                let mut number = 0usize;
                let mut largest = 1usize;
                while let Some(c) = characters.next_if(|c| c.is_ascii_digit() || *c == ',') {
                    number = c.to_digit(10).map_or(0, |d| number.saturating_mul(10).saturating_add(d as usize));
                    largest = largest.max(number);
                }
                factor = factor.saturating_mul(largest);
            }
            // A flag such as `(?i)` makes a class of every letter.
            '?' => sum += 20,
            _ => sum += 1,
        }
    }
    sum.saturating_mul(factor)
}
