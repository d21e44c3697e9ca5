//! The functions. None reads a clock, a source of randomness or the world.

use crate::expr::budget::Budget;
use crate::expr::error::{Fault, Problem};
use crate::expr::value::{List, Value};
use crate::expr::{operator, pattern};

/// A function, known by name and form when the template is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    String,
    Int,
    Uint,
    Double,
    Bool,
    LowerAscii,
    UpperAscii,
    Trim,
    Replace,
    Split,
    Join,
}

/// Name, function, form, and the number of values: arguments and the one before the dot.
const ALL: [(&str, Function, Form, &str); 18] = [
    ("size", Function::Size, Form::Global(1), "size(x)"),
    ("size", Function::Size, Form::Method(0), "x.size()"),
    ("contains", Function::Contains, Form::Method(1), "text.contains(text)"),
    ("startsWith", Function::StartsWith, Form::Method(1), "text.startsWith(text)"),
    ("endsWith", Function::EndsWith, Form::Method(1), "text.endsWith(text)"),
    ("matches", Function::Matches, Form::Method(1), "text.matches('pattern')"),
    ("string", Function::String, Form::Global(1), "string(x)"),
    ("int", Function::Int, Form::Global(1), "int(x)"),
    ("uint", Function::Uint, Form::Global(1), "uint(x)"),
    ("double", Function::Double, Form::Global(1), "double(x)"),
    ("bool", Function::Bool, Form::Global(1), "bool(x)"),
    ("lowerAscii", Function::LowerAscii, Form::Method(0), "text.lowerAscii()"),
    ("upperAscii", Function::UpperAscii, Form::Method(0), "text.upperAscii()"),
    ("trim", Function::Trim, Form::Method(0), "text.trim()"),
    ("replace", Function::Replace, Form::Method(2), "text.replace(old, new)"),
    ("split", Function::Split, Form::Method(1), "text.split(separator)"),
    ("join", Function::Join, Form::Method(0), "list.join()"),
    ("join", Function::Join, Form::Method(1), "list.join(separator)"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Global(usize),
    Method(usize),
}

/// Finds a function by its name and the form in which it is called.
///
/// # Errors
/// A name that is not known, or known in another form.
pub(super) fn find(name: &str, method: bool, arguments: usize) -> Result<Function, Problem> {
    let form = if method { Form::Method(arguments) } else { Form::Global(arguments) };
    if let Some((_, function, _, _)) = ALL.iter().find(|(n, _, f, _)| *n == name && *f == form) {
        return Ok(*function);
    }
    if let Some((_, _, _, right)) = ALL.iter().find(|(n, _, _, _)| *n == name) {
        return Err(Problem::FunctionForm(right));
    }
    let macros = match name {
        "has" => "has(a.b)",
        "map" => "list.map(x, ...)",
        "filter" => "list.filter(x, ...)",
        "all" => "list.all(x, ...)",
        "exists" => "list.exists(x, ...)",
        "exists_one" | "existsOne" => "list.exists_one(x, ...)",
        _ => {
            let mut known: Vec<&str> = ALL.iter().map(|(n, _, _, _)| *n).collect();
            known.dedup();
            let known = format!("has, map, filter, all, exists, exists_one, {}", known.join(", "));
            return Err(Problem::UnknownFunction { name: name.to_owned(), known });
        }
    };
    Err(Problem::FunctionForm(macros))
}

/// Calls a function. `values` has as many as [`find`] has checked.
///
/// # Errors
/// Types that it does not work on, values that it cannot convert, the budget.
pub(super) fn call<'v>(function: Function, values: &[Value<'v>], budget: &mut Budget) -> Result<Value<'v>, Fault> {
    let null = Value::Null;
    let [first, second, third] = [0, 1, 2].map(|i| values.get(i).unwrap_or(&null));
    match function {
        Function::Size => size(first, budget),
        Function::Contains => match (first, second) {
            (Value::List(list), wanted) => operator::contains(list, wanted, budget).map(Value::Bool),
            (text, part) => {
                let (text, part) = (word(text, "the text of `contains`")?, word(part, "the argument of `contains`")?);
                budget.spend_bytes(text.len() + part.len())?;
                Ok(Value::Bool(text.contains(part)))
            }
        },
        Function::StartsWith => {
            let part = word(second, "the argument of `startsWith`")?;
            budget.spend_bytes(part.len())?;
            Ok(Value::Bool(word(first, "the text of `startsWith`")?.starts_with(part)))
        }
        Function::EndsWith => {
            let part = word(second, "the argument of `endsWith`")?;
            budget.spend_bytes(part.len())?;
            Ok(Value::Bool(word(first, "the text of `endsWith`")?.ends_with(part)))
        }
        Function::Matches => {
            let (text, pattern) = (word(first, "the text of `matches`")?, word(second, "the pattern of `matches`")?);
            // The pattern is compiled at every use.
            budget.spend(1_000 + pattern::weight(pattern))?;
            budget.spend(text.len())?;
            pattern::is_match(text, pattern).map(Value::Bool)
        }
        Function::String => match first {
            Value::Text(_) => Ok(first.clone()),
            Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) => {
                let mut text = String::new();
                first.write_text(&mut text, budget)?;
                Ok(Value::made(text))
            }
            Value::Null | Value::List(_) | Value::Map(_) => Err(argument("string", first)),
        },
        Function::Int => int(first),
        Function::Uint => uint(first),
        Function::Double => match first {
            Value::Double(double) => Ok(Value::Double(*double)),
            Value::Int(int) => Ok(Value::Double(*int as f64)),
            Value::Uint(uint) => Ok(Value::Double(*uint as f64)),
            Value::Text(text) => {
                budget.spend_bytes(text.as_str().len())?;
                text.as_str().parse().map(Value::Double).map_err(|_| Fault::Conversion("double"))
            }
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => Err(argument("double", first)),
        },
        Function::Bool => match first {
            Value::Bool(value) => Ok(Value::Bool(*value)),
            Value::Text(text) => match text.as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(Fault::Conversion("bool")),
            },
            Value::Null | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::List(_) | Value::Map(_) => {
                Err(argument("bool", first))
            }
        },
        Function::LowerAscii => make(first, "the text of `lowerAscii`", budget, |text| text.to_ascii_lowercase()),
        Function::UpperAscii => make(first, "the text of `upperAscii`", budget, |text| text.to_ascii_uppercase()),
        Function::Trim => make(first, "the text of `trim`", budget, |text| text.trim().to_owned()),
        Function::Replace => replace(first, second, third, budget),
        Function::Split => split(first, second, budget),
        Function::Join => join(first, if values.len() > 1 { Some(second) } else { None }, budget),
    }
}

fn size<'v>(value: &Value<'v>, budget: &mut Budget) -> Result<Value<'v>, Fault> {
    let size = match value {
        Value::Text(text) => {
            budget.spend_bytes(text.as_str().len())?;
            text.as_str().chars().count()
        }
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) => {
            return Err(Fault::Type {
                place: "the value of `size`",
                wanted: "a text, list or map",
                found: value.kind(),
            });
        }
    };
    Ok(Value::Int(size as i64))
}

fn int<'v>(value: &Value<'v>) -> Result<Value<'v>, Fault> {
    let int = match value {
        Value::Int(int) => Some(*int),
        Value::Uint(uint) => i64::try_from(*uint).ok(),
        // The upper end is not a double; the lower is.
        Value::Double(double) if (-(2f64.powi(63))..2f64.powi(63)).contains(double) => Some(*double as i64),
        Value::Double(_) => None,
        Value::Text(text) => text.as_str().parse().ok(),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => return Err(argument("int", value)),
    };
    int.map(Value::Int).ok_or(Fault::Conversion("int"))
}

fn uint<'v>(value: &Value<'v>) -> Result<Value<'v>, Fault> {
    let uint = match value {
        Value::Uint(uint) => Some(*uint),
        Value::Int(int) => u64::try_from(*int).ok(),
        Value::Double(double) if (0.0..2f64.powi(64)).contains(double) => Some(*double as u64),
        Value::Double(_) => None,
        Value::Text(text) => text.as_str().parse().ok(),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => return Err(argument("uint", value)),
    };
    uint.map(Value::Uint).ok_or(Fault::Conversion("uint"))
}

fn make<'v>(
    value: &Value<'v>,
    place: &'static str,
    budget: &mut Budget,
    of: impl FnOnce(&str) -> String,
) -> Result<Value<'v>, Fault> {
    let text = word(value, place)?;
    budget.spend_text(text.len())?;
    Ok(Value::made(of(text)))
}

fn replace<'v>(text: &Value<'v>, old: &Value<'v>, new: &Value<'v>, budget: &mut Budget) -> Result<Value<'v>, Fault> {
    let text = word(text, "the text of `replace`")?;
    let (old, new) = (word(old, "the first argument of `replace`")?, word(new, "the second argument of `replace`")?);
    budget.spend_bytes(text.len())?;
    // Counted before it is made: an empty `old` matches at every character.
    let length = text.len().saturating_add(text.matches(old).count().saturating_mul(new.len()));
    budget.spend_text(length)?;
    Ok(Value::made(text.replace(old, new)))
}

fn split<'v>(text: &Value<'v>, separator: &Value<'v>, budget: &mut Budget) -> Result<Value<'v>, Fault> {
    let text = word(text, "the text of `split`")?;
    let separator = word(separator, "the argument of `split`")?;
    budget.spend_bytes(text.len())?;
    let mut parts = Vec::new();
    let mut push = |part: &str| {
        budget.spend_bytes(part.len() + 16)?;
        parts.push(Value::made(part.to_owned()));
        Ok::<(), Fault>(())
    };
    if separator.is_empty() {
        // Into characters, as CEL has it; Rust would put an empty text at both ends.
        let mut buffer = [0; 4];
        text.chars().try_for_each(|c| push(c.encode_utf8(&mut buffer)))?;
    } else {
        text.split(separator).try_for_each(push)?;
    }
    Ok(Value::list(parts))
}

fn join<'v>(list: &Value<'v>, separator: Option<&Value<'v>>, budget: &mut Budget) -> Result<Value<'v>, Fault> {
    let Value::List(list) = list else {
        return Err(Fault::Type { place: "the value of `join`", wanted: "a list of texts", found: list.kind() });
    };
    let separator = separator.map_or(Ok(""), |separator| word(separator, "the argument of `join`"))?;
    join_texts(list, separator, budget)
}

fn join_texts<'v>(list: &List<'v>, separator: &str, budget: &mut Budget) -> Result<Value<'v>, Fault> {
    let mut joined = String::new();
    for (i, element) in list.iter().enumerate() {
        let part = word(&element, "every element for `join`")?;
        // Work is taken for what is added, the limit holds for the whole.
        budget.spend_bytes(separator.len() + part.len())?;
        budget.check_text(joined.len() + separator.len() + part.len())?;
        if i > 0 {
            joined.push_str(separator);
        }
        joined.push_str(part);
    }
    Ok(Value::made(joined))
}

fn word<'t>(value: &'t Value<'_>, place: &'static str) -> Result<&'t str, Fault> {
    match value {
        Value::Text(text) => Ok(text.as_str()),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Double(_)
        | Value::List(_)
        | Value::Map(_) => Err(Fault::Type { place, wanted: "a text", found: value.kind() }),
    }
}

fn argument(function: &'static str, value: &Value<'_>) -> Fault {
    let place = match function {
        "string" => "the argument of `string`",
        "int" => "the argument of `int`",
        "uint" => "the argument of `uint`",
        "double" => "the argument of `double`",
        _ => "the argument of `bool`",
    };
    let wanted = if function == "bool" { "a bool or a text" } else { "a number or a text" };
    Fault::Type { place, wanted, found: value.kind() }
}
