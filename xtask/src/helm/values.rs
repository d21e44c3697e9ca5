//! What `values.yaml` says of itself in comments, as a schema and as a table.
//!
//! Flow: a key is documented by the comment lines right above it: `# -- text`, lines that go on with it, and lines
//! `# @schema {...}` with what the schema needs beside type and default. A key without a comment is a group, and every
//! key in it must be one or the other. Below a documented key nothing is looked for.
//!
//! Guarantees: every key is documented or refused; a key that the file does not have is refused by the schema.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// A value has no usable comment.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {said}")]
pub(crate) struct ValuesError {
    line: usize,
    said: String,
}

/// A documented key.
#[derive(Debug)]
pub(super) struct Documented {
    path: Vec<String>,
    description: String,
    /// Its schema, with type, description and default.
    schema: Map<String, Value>,
}

/// Reads a file of values.
pub(super) fn read(text: &str) -> Result<Vec<Documented>, ValuesError> {
    let fault = |line: usize, said: String| ValuesError { line, said };
    let defaults: Value = serde_saphyr::from_str(text).map_err(|error| fault(1, error.to_string()))?;
    let mut found = Vec::new();
    // The groups that are open, and the indentation below which a documented key's own lines end.
    let mut groups: Vec<String> = Vec::new();
    let mut inside: Option<usize> = None;
    let mut comment = Comment::default();
    for (index, line) in text.lines().enumerate() {
        let indentation = line.len() - line.trim_start().len();
        let content = line.trim_start();
        if content.is_empty() {
            comment = Comment::default();
            continue;
        }
        if inside.is_some_and(|outer| indentation > outer) {
            continue;
        }
        inside = None;
        if let Some(said) = content.strip_prefix('#') {
            comment.add(said).map_err(|said| fault(index + 1, said))?;
            continue;
        }
        let (key, rest) = content.split_once(':').ok_or_else(|| fault(index + 1, "is no key".to_owned()))?;
        groups.truncate(indentation / 2);
        let path: Vec<String> = groups.iter().cloned().chain([key.to_owned()]).collect();
        let comment = std::mem::take(&mut comment);
        if let Some(description) = comment.description {
            let default = defaults.pointer(&format!("/{}", path.join("/"))).cloned().unwrap_or_default();
            let schema = schema_of(&description, default, comment.schema).map_err(|said| fault(index + 1, said))?;
            found.push(Documented { path, description, schema });
            inside = Some(indentation);
        } else if rest.trim().is_empty() {
            groups.push(key.to_owned());
        } else {
            return Err(fault(index + 1, format!("`{}` has no comment that begins with `# --`", path.join("."))));
        }
    }
    Ok(found)
}

/// The comment lines above a key.
#[derive(Debug, Default)]
struct Comment {
    description: Option<String>,
    schema: Map<String, Value>,
}

impl Comment {
    fn add(&mut self, said: &str) -> Result<(), String> {
        if let Some(schema) = said.strip_prefix(" @schema ") {
            let more: Map<String, Value> = serde_json::from_str(schema).map_err(|error| error.to_string())?;
            self.schema.extend(more);
        } else if let Some(begun) = said.strip_prefix(" -- ") {
            self.description = Some(begun.trim().to_owned());
        } else if let Some(description) = &mut self.description {
            description.push(' ');
            description.push_str(said.trim());
        }
        Ok(())
    }
}

fn schema_of(description: &str, default: Value, more: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let kind = match &default {
        Value::Null => return Err("has no default".to_owned()),
        Value::Bool(_) => Some("boolean"),
        Value::Number(_) => Some("integer"),
        Value::String(_) => Some("string"),
        Value::Array(_) | Value::Object(_) => None,
    };
    let mut schema = Map::new();
    schema.extend(kind.map(|kind| ("type".to_owned(), json!(kind))));
    schema.extend(more);
    if !schema.contains_key("type") {
        return Err("a list or an object needs a `# @schema` line with its type".to_owned());
    }
    schema.insert("description".to_owned(), json!(description));
    schema.insert("default".to_owned(), default);
    Ok(schema)
}

/// The JSON schema: what is not documented is refused.
pub(super) fn schema(values: &[Documented]) -> String {
    let mut root = group();
    root["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    for value in values {
        let mut here = &mut root;
        for name in &value.path {
            here = &mut here["properties"][name.as_str()];
            if here.is_null() {
                *here = group();
            }
        }
        *here = Value::Object(value.schema.clone());
    }
    format!("{root:#}\n")
}

fn group() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {}})
}

/// The table of the README.
pub(super) fn table(values: &[Documented]) -> String {
    let mut table = "| value | type | default | what it does |\n|---|---|---|---|\n".to_owned();
    for value in values {
        let kind = match &value.schema["type"] {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            kind => kind.as_str().unwrap_or_default().to_owned(),
        };
        // Writing to a string does not fail.
        let _always_ok = writeln!(
            table,
            "| `{}` | {kind} | `{}` | {} |",
            value.path.join("."),
            value.schema["default"].to_string().replace('|', "\\|"),
            value.description.replace('|', "\\|"),
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "\
# About the file.

# -- How many.
# @schema {\"minimum\": 0}
replicas: 2

image:
  # -- Where it is,
  # in words.
  name: here
# -- What it takes.
# @schema {\"type\": \"object\"}
resources:
  # Not looked at.
  cpu: 1
";

    #[test]
    fn comments_become_a_table_and_a_schema_that_refuses_the_rest() -> Result<(), Box<dyn std::error::Error>> {
        let values = read(VALUES)?;
        let wanted = "| value | type | default | what it does |\n|---|---|---|---|\n\
                      | `replicas` | integer | `2` | How many. |\n\
                      | `image.name` | string | `\"here\"` | Where it is, in words. |\n\
                      | `resources` | object | `{\"cpu\":1}` | What it takes. |\n";
        assert_eq!(table(&values), wanted);
        let schema: Value = serde_json::from_str(&schema(&values))?;
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["image"]["additionalProperties"], false);
        let replicas = json!({"type": "integer", "minimum": 0, "default": 2, "description": "How many."});
        assert_eq!(schema["properties"]["replicas"], replicas);
        Ok(())
    }

    #[test]
    fn a_value_without_a_comment_is_refused_by_its_line() {
        for (text, wanted) in [
            ("a: 1\n", "line 1: `a` has no comment that begins with `# --`"),
            ("# -- A.\na: 1\nb:\n  c: 1\n", "line 4: `b.c` has no comment that begins with `# --`"),
            ("# -- A.\n\na: 1\n", "line 3: `a` has no comment that begins with `# --`"),
            ("# -- A.\na: []\n", "line 2: a list or an object needs a `# @schema` line with its type"),
            ("# -- A.\na:\n", "line 2: has no default"),
        ] {
            assert_eq!(read(text).err().map(|error| error.to_string()).as_deref(), Some(wanted), "{text}");
        }
    }
}
