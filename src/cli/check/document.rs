//! Documents of manifests, each value with the line where it stands.
//!
//! `kubectl` reads YAML 1.1, this parser 1.2; where they differ the document gets a doubt, because what is checked here
//! would not be what arrives.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// One document of a file.
#[derive(Debug)]
pub(in crate::cli) struct Document {
    /// Where it was read from, as it was named.
    pub(in crate::cli) file: String,
    /// Of its first value.
    pub(in crate::cli) line: u64,
    /// What it says.
    pub(in crate::cli) value: Value,
    /// Lines of all fields, by their paths (`spec.steps[0].name`).
    lines: BTreeMap<String, u64>,
    /// Paths and words that `kubectl` reads differently.
    pub(in crate::cli) doubts: Vec<(String, String)>,
}

/// A file that cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[error("{file}:{} {message}", .line.map(|line| format!("{line}:")).unwrap_or_default())]
pub(in crate::cli) struct Unreadable {
    /// Where.
    pub(in crate::cli) file: String,
    /// The line, where there is one.
    pub(in crate::cli) line: Option<u64>,
    /// What is wrong.
    pub(in crate::cli) message: String,
}

impl Document {
    /// The line of a field, else of the nearest field that holds it, else of the document.
    pub(in crate::cli) fn line_of(&self, field: &str) -> u64 {
        let mut path = field;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(cut) => path = &path[..cut],
                None => return self.line,
            }
        }
    }

    /// A member of `metadata`, or an empty text.
    pub(in crate::cli) fn metadata(&self, member: &str) -> &str {
        self.value["metadata"][member].as_str().unwrap_or_default()
    }

    /// `sagadefinition/checkout`.
    pub(in crate::cli) fn title(&self) -> String {
        let kind = self.value["kind"].as_str().unwrap_or_default().to_ascii_lowercase();
        let name = self.metadata("name");
        let name = if name.is_empty() { self.metadata("generateName") } else { name };
        format!("{kind}/{name}")
    }
}

/// The path of a member.
pub(in crate::cli) fn member(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'));
    match (plain, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{key:?}]"),
    }
}

/// Reads files, all files of directories (`*.yaml`, `*.yml`, `*.json`), and standard input for `-`.
pub(in crate::cli) fn read(paths: &[PathBuf]) -> (Vec<Document>, Vec<Unreadable>) {
    let (mut documents, mut unreadable) = (Vec::new(), Vec::new());
    for path in paths {
        match files(path) {
            Ok(files) => {
                for file in files {
                    match text(&file).and_then(|text| parse(&file.display().to_string(), &text)) {
                        Ok(found) => documents.extend(found),
                        Err(error) => unreadable.push(error),
                    }
                }
            }
            Err(error) => unreadable.push(error),
        }
    }
    (documents, unreadable)
}

/// The documents of a text.
pub(in crate::cli) fn parse(file: &str, text: &str) -> Result<Vec<Document>, Unreadable> {
    // A snippet would repeat the text around the mistake, which may hold a Secret.
    let options = serde_saphyr::options! { with_snippet: false, legacy_octal_numbers: false };
    let nodes: Vec<Node> = serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let line = error.location().map(|location| location.line());
        Unreadable {
            file: file.to_owned(),
            line,
            message: format!("failed to read YAML: {}", hint(&error, text, line)),
        }
    })?;
    let documents: Vec<Document> = nodes.into_iter().map(|node| document(file, text, node)).collect();
    if documents.is_empty() {
        let message = "failed to find a document: the file is empty".to_owned();
        return Err(Unreadable { file: file.to_owned(), line: None, message });
    }
    Ok(documents)
}

fn hint(error: &serde_saphyr::Error, text: &str, line: Option<u64>) -> String {
    // Its advice about duplicate keys is for programmers.
    let said = error.to_string().replace('\n', " ").replace(", set DuplicateKeyPolicy in Options if acceptable", "");
    let near = line.and_then(|line| text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?));
    match near {
        Some(near) if near.contains("${") => format!("{said}; put texts that hold `${{...}}` in quotes"),
        Some(near) if near.contains('\t') => format!("{said}; indent with spaces, not with tabs"),
        Some(_) | None => said,
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|error| unreadable(path, &error))?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|own| own == "yaml" || own == "yml" || own == "json"));
    files.sort();
    if files.is_empty() {
        let message = "failed to find a manifest (*.yaml, *.yml, *.json) in the directory".to_owned();
        return Err(Unreadable { file: path.display().to_string(), line: None, message });
    }
    Ok(files)
}

fn text(path: &Path) -> Result<String, Unreadable> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        return read.map(|_| text).map_err(|error| unreadable(path, &error));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Unreadable {
    Unreadable { file: path.display().to_string(), line: None, message: format!("failed to read: {error}") }
}

fn document(file: &str, text: &str, node: Node) -> Document {
    let mut reading = Reading { text, lines: BTreeMap::new(), doubts: Vec::new() };
    let line = node.line();
    let value = reading.value("", node);
    Document { file: file.to_owned(), line, value, lines: reading.lines, doubts: reading.doubts }
}

/// A value with its place.
#[derive(Debug)]
struct Node(Spanned<Content>);

#[derive(Debug)]
enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl Node {
    fn line(&self) -> u64 {
        self.0.referenced.line()
    }
}

struct Reading<'a> {
    text: &'a str,
    lines: BTreeMap<String, u64>,
    doubts: Vec<(String, String)>,
}

impl Reading<'_> {
    fn value(&mut self, path: &str, node: Node) -> Value {
        let place = node.0.defined.span().byte_offset();
        match node.0.value {
            Content::Scalar(value) => {
                self.doubt(path, place, "the value");
                value
            }
            Content::List(items) => {
                let items = items.into_iter().enumerate().map(|(index, item)| {
                    let path = format!("{path}[{index}]");
                    self.lines.insert(path.clone(), item.line());
                    self.value(&path, item)
                });
                Value::Array(items.collect())
            }
            Content::Map(members) => {
                let mut map = Map::new();
                for (key, node) in members {
                    let path = member(path, &key.value);
                    self.lines.insert(path.clone(), key.referenced.line());
                    self.doubt(&path, key.defined.span().byte_offset(), "the key");
                    map.insert(key.value, self.value(&path, node));
                }
                Value::Object(map)
            }
        }
    }

    /// Words that are booleans in YAML 1.1 and texts in 1.2.
    fn doubt(&mut self, path: &str, place: Option<u64>, what: &str) {
        let place = place.and_then(|place| usize::try_from(place).ok());
        let Some(rest) = place.and_then(|place| self.text.get(place..)) else { return };
        let word: &str = rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        let ends = rest[word.len()..].chars().next().is_none_or(|next| " \t\r\n:,]}#".contains(next));
        let boolean = ["y", "n", "yes", "no", "on", "off"].iter().any(|known| word.eq_ignore_ascii_case(known));
        if boolean && ends {
            let message = format!("kubectl reads {what} `{word}` as a boolean: put it in quotes");
            self.doubts.push((path.to_owned(), message));
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::<Content>::deserialize(deserializer).map(Node)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Content, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("JSON has no infinity and no NaN"))?;
        Ok(Content::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Content, A::Error> {
        let mut map = Vec::new();
        while let Some(member) = members.next_entry()? {
            map.push(member);
        }
        Ok(Content::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Document {
        parse("f.yaml", text).expect("YAML").remove(0)
    }

    fn refused(text: &str) -> String {
        parse("f.yaml", text).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn every_field_knows_its_line() {
        let document = one("# c\nspec:\n  steps:\n  - name: a\n    body:\n      x.y: |\n        text\n");
        assert_eq!(document.line, 2);
        assert_eq!(document.line_of("spec.steps[0].name"), 4);
        assert_eq!(document.line_of("spec.steps[0].body[\"x.y\"]"), 6);
        assert_eq!(document.line_of("spec.steps[0].action.http"), 4, "the nearest that is there");
        assert_eq!(document.line_of("metadata.name"), 2, "the document");
    }

    #[test]
    fn documents_are_told_apart_and_empty_ones_left_out() {
        let lines: Vec<u64> =
            parse("f", "a: 1\n---\n# c\n\n---\nb: 2\n").expect("YAML").iter().map(|d| d.line).collect();
        assert_eq!(lines, [1, 6]);
    }

    #[test]
    fn json_is_read_too() {
        assert_eq!(one("{\"a\": [1, {\"b\": null}]}").value, serde_json::json!({"a": [1, {"b": null}]}));
    }

    #[test]
    fn what_kubectl_takes_for_a_boolean_is_doubted() {
        let document = one("y: 1\n'n': \"no\"\nl: [on, only, 'off']\n");
        let paths: Vec<&str> = document.doubts.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["y", "l[0]"]);
    }

    #[test]
    fn a_mistake_has_its_line_and_a_way_out() {
        let unquoted = refused("a: 1\nb: ${input.y ? 1 : 2}\n");
        assert!(unquoted.starts_with("f.yaml:2: ") && unquoted.contains("in quotes"), "{unquoted}");
        let tab = refused("a:\n\tb: 1\n");
        assert!(tab.starts_with("f.yaml:2: ") && tab.contains("not with tabs"), "{tab}");
        let twice = refused("a: 1\na: 2\n");
        assert!(twice.starts_with("f.yaml:2: ") && !twice.contains("Policy"), "{twice}");
        assert!(refused("").contains("empty"));
        assert!(refused("a: .inf").starts_with("f.yaml:1: "));
    }
}
