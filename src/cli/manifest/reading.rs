//! How `kubectl` reads a value that is written without quotes, where that is a surprise.
//!
//! `kubectl` reads YAML 1.1: `y`, `no`, `on` are booleans, as keys too, and `012` is ten. What is written so is read the
//! same way here, or refused; it is never silently read otherwise.

use serde_json::Value;

use super::scan::{Role, Scalar, Style};

/// Above it, readers of JSON lose digits.
const MAX_SAFE: u128 = 1 << 53;

/// What `kubectl` takes a text for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Text,
    Null,
    Boolean,
    Number,
}

/// What is wrong with a scalar.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The API server would refuse it.
    Error(String),
    /// It works, and may surprise.
    Warning(String),
}

/// Looks at a scalar; `typed` is the document as it was read into its type.
pub(super) fn look(scalar: &Scalar, typed: &Value) -> Option<Finding> {
    if scalar.style == Style::Tagged {
        return None;
    }
    if scalar.role == Role::Key {
        return key(scalar);
    }
    comment(scalar).or_else(|| kind(scalar, typed.pointer(&scalar.pointer)?)).or_else(|| number(scalar))
}

fn key(scalar: &Scalar) -> Option<Finding> {
    let text = &scalar.text;
    let odd = scalar.style == Style::Plain && is_odd_boolean(text);
    odd.then(|| Finding::Warning(format!("`kubectl` reads the key `{text}` as a boolean: write it as \"{text}\"")))
}

fn kind(scalar: &Scalar, typed: &Value) -> Option<Finding> {
    let text = &scalar.text;
    let read = if scalar.style == Style::Plain { reading(text) } else { Reading::Text };
    match (typed, read) {
        (Value::String(_), Reading::Boolean | Reading::Number) => {
            let kind = if read == Reading::Boolean { "boolean" } else { "number" };
            Some(Finding::Error(format!("`{text}` is a {kind}, and a text belongs here: write it as \"{text}\"")))
        }
        (Value::Number(_), Reading::Text | Reading::Boolean) => {
            Some(Finding::Error(format!("`{text}` is a text, and a number belongs here: write it without quotes")))
        }
        (Value::Bool(_), Reading::Text | Reading::Number) => {
            Some(Finding::Error(format!("`{text}` is a text, and `true` or `false` belongs here, without quotes")))
        }
        _ => None,
    }
}

fn number(scalar: &Scalar) -> Option<Finding> {
    if scalar.style != Style::Plain {
        return None;
    }
    let text = &scalar.text;
    let digits = text.trim_start_matches(['-', '+']).replace('_', "");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Some(Finding::Warning(format!(
            "`kubectl` reads `{text}` as an octal number: write it as \"{text}\", or without the zero in front"
        )));
    }
    let unsafe_integer = digits.parse().map_or(true, |value: u128| value > MAX_SAFE);
    unsafe_integer.then(|| {
        Finding::Warning(format!("`{text}` is beyond 2^53, where digits get lost on the way: write it as \"{text}\""))
    })
}

/// ` #` begins a comment, in an expression too.
fn comment(scalar: &Scalar) -> Option<Finding> {
    let text = &scalar.text;
    let template = scalar.style == Style::Plain && scalar.pointer.starts_with("/spec/steps/");
    let begin = text.rfind("${").filter(|begin| !text[..*begin].ends_with('$'))?;
    (template && !text[begin..].contains('}')).then(|| {
        Finding::Error(format!(
            "`{text}` ends within its expression: ` #` begins a comment; put the whole value in quotes"
        ))
    })
}

/// `y`, `no`, `on` and the like.
pub(super) fn is_odd_boolean(text: &str) -> bool {
    reading(text) == Reading::Boolean && !is_true_or_false(text)
}

fn is_true_or_false(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

/// go-yaml's rules for a plain scalar.
fn reading(text: &str) -> Reading {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Reading::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off"
        | "OFF" => Reading::Boolean,
        _ if is_true_or_false(text) => Reading::Boolean,
        _ if is_number(text) => Reading::Number,
        _ => Reading::Text,
    }
}

fn is_number(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), ".inf" | ".nan") {
        return true;
    }
    let in_base = |prefix: &str, base: u32| {
        lower
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c == '_' || c.is_digit(base)))
    };
    if in_base("0x", 16) || in_base("0o", 8) || in_base("0b", 2) {
        return true;
    }
    let starts = lower.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    starts && lower.bytes().all(|byte| byte.is_ascii_digit() || b"._e+-".contains(&byte)) && {
        lower.replace('_', "").parse::<f64>().is_ok()
    }
}
