//! Values during evaluation: JSON borrowed from the scope, and what operators have made of it.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map as JsonMap, Number, Value as Json};

use crate::expr::budget::Budget;
use crate::expr::error::Fault;
use crate::expr::limit;

/// A value. Cloning one is cheap.
#[derive(Clone, Debug)]
pub(super) enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'v>),
    List(List<'v>),
    Map(Map<'v>),
}

/// A text, from the scope or made.
#[derive(Clone, Debug)]
pub(super) enum Text<'v> {
    Borrowed(&'v str),
    Made(Rc<str>),
}

/// A list, from the scope or made.
#[derive(Clone, Debug)]
pub(super) enum List<'v> {
    Json(&'v [Json]),
    Made(Rc<Vec<Value<'v>>>),
}

/// A map, from the scope or made. All are sorted by key.
#[derive(Clone, Debug)]
pub(super) enum Map<'v> {
    Json(&'v JsonMap<String, Json>),
    Outputs(&'v BTreeMap<String, Json>),
    Headers(&'v BTreeMap<String, String>),
    Made(Rc<BTreeMap<Box<str>, Value<'v>>>),
}

impl<'v> From<&'v Json> for Value<'v> {
    fn from(json: &'v Json) -> Self {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(int), _) => Value::Int(int),
                (None, Some(uint)) => Value::Uint(uint),
                // Infinite is out of reach: the parser of JSON refuses such numbers.
                (None, None) => Value::Double(number.as_f64().unwrap_or(f64::INFINITY)),
            },
            Json::String(text) => Value::text(text),
            Json::Array(list) => Value::List(List::Json(list)),
            Json::Object(map) => Value::Map(Map::Json(map)),
        }
    }
}

impl<'v> Value<'v> {
    pub(super) fn text(text: &'v str) -> Self {
        Value::Text(Text::Borrowed(text))
    }

    pub(super) fn made(text: String) -> Self {
        Value::Text(Text::Made(text.into()))
    }

    pub(super) fn list(list: Vec<Value<'v>>) -> Self {
        Value::List(List::Made(Rc::new(list)))
    }

    pub(super) fn map(map: BTreeMap<Box<str>, Value<'v>>) -> Self {
        Value::Map(Map::Made(Rc::new(map)))
    }

    /// The name of the type, with its article, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an int",
            Value::Uint(_) => "a uint",
            Value::Double(_) => "a double",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The value as JSON, at most [`limit::RESULT_DEPTH`] levels. NaN and infinite numbers are an error.
    pub(super) fn to_json(&self, budget: &mut Budget) -> Result<Json, Fault> {
        self.to_json_at(budget, 0)
    }

    fn to_json_at(&self, budget: &mut Budget, depth: usize) -> Result<Json, Fault> {
        budget.spend_output(2)?;
        check_depth(depth)?;
        Ok(match self {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            Value::Uint(value) => Json::from(*value),
            Value::Double(value) => Json::Number(number(*value)?),
            Value::Text(text) => {
                budget.spend_output(text.as_str().len())?;
                Json::String(text.as_str().to_owned())
            }
            Value::List(List::Json(list)) => {
                list.iter().map(|json| copy(json, budget, depth + 1)).collect::<Result<_, _>>()?
            }
            Value::List(List::Made(list)) => {
                list.iter().map(|value| value.to_json_at(budget, depth + 1)).collect::<Result<_, _>>()?
            }
            Value::Map(map) => {
                let mut object = JsonMap::new();
                for (key, value) in map.iter() {
                    budget.spend_output(key.len())?;
                    object.insert(key.to_owned(), value.to_json_at(budget, depth + 1)?);
                }
                Json::Object(object)
            }
        })
    }

    /// Appends the value as text: text as it is, everything else as compact JSON. Null is an error.
    pub(super) fn write_text(&self, out: &mut String, budget: &mut Budget) -> Result<(), Fault> {
        match self {
            Value::Null => return Err(Fault::Null),
            Value::Text(text) => {
                budget.spend_output(text.as_str().len())?;
                out.push_str(text.as_str());
            }
            Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::List(_) | Value::Map(_) => {
                let json = self.to_json(budget)?.to_string();
                budget.spend_output(json.len())?;
                out.push_str(&json);
            }
        }
        Ok(())
    }
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Made(text) => text,
        }
    }
}

impl<'v> List<'v> {
    pub(super) fn len(&self) -> usize {
        match self {
            List::Json(list) => list.len(),
            List::Made(list) => list.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Value<'v>> {
        match self {
            List::Json(list) => list.get(index).map(Value::from),
            List::Made(list) => list.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'v>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl<'v> Map<'v> {
    pub(super) fn len(&self) -> usize {
        match self {
            Map::Json(map) => map.len(),
            Map::Outputs(map) => map.len(),
            Map::Headers(map) => map.len(),
            Map::Made(map) => map.len(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Value<'v>> {
        match self {
            Map::Json(map) => map.get(key).map(Value::from),
            Map::Outputs(map) => map.get(key).map(Value::from),
            Map::Headers(map) => map.get(key).map(|text| Value::text(text)),
            Map::Made(map) => map.get(key).cloned(),
        }
    }

    pub(super) fn keys(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Map::Json(map) => Box::new(map.keys().map(String::as_str)),
            Map::Outputs(map) => Box::new(map.keys().map(String::as_str)),
            Map::Headers(map) => Box::new(map.keys().map(String::as_str)),
            Map::Made(map) => Box::new(map.keys().map(|key| &**key)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Value<'v>)> {
        self.keys().filter_map(|key| self.get(key).map(|value| (key, value)))
    }
}

/// A JSON number for a double. One without fraction stays a double: `2.0`.
fn number(value: f64) -> Result<Number, Fault> {
    Number::from_f64(value).ok_or(Fault::NotFinite)
}

/// A copy of JSON from the scope, within the budget.
fn copy(json: &Json, budget: &mut Budget, depth: usize) -> Result<Json, Fault> {
    Value::from(json).to_json_at(budget, depth)
}

/// Refuses results that a parser of JSON would refuse later.
fn check_depth(depth: usize) -> Result<(), Fault> {
    if depth > limit::RESULT_DEPTH {
        return Err(Fault::TooLarge { what: "the depth of a result", limit: limit::RESULT_DEPTH as u64 });
    }
    Ok(())
}
