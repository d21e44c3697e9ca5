//! Where everything in a document is written, and how.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

/// A key or a value that is not a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    /// JSON pointer of the value; of a key, that of its value.
    pub(super) pointer: String,
    /// From 1.
    pub(super) line: usize,
    /// Without quotes.
    pub(super) text: String,
    /// Which of both.
    pub(super) role: Role,
    /// How it is written.
    pub(super) style: Style,
}

/// What a scalar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Of a mapping.
    Key,
    /// Of a mapping or a list.
    Value,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As it is: it may be read as something else than a text.
    Plain,
    /// A text for certain.
    Quoted,
    /// `!!int` and the like.
    Tagged,
}

/// The line of every field, by its JSON pointer.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// The line of a field, as `spec.steps[1].action`, or of the nearest above it.
    pub(super) fn nearest(&self, field: &str) -> Option<usize> {
        let mut pointer = format!("/{}", field.replace("].", "/").replace([']'], "").replace(['.', '['], "/"));
        loop {
            if let Some(line) = self.0.get(&pointer) {
                return Some(*line);
            }
            pointer.truncate(pointer.rfind('/')?);
        }
    }
}

/// One collection that is open.
struct Open {
    pointer: String,
    next: Next,
}

enum Next {
    Key,
    ValueOf(String),
    Item(usize),
}

/// Goes through one document whose lines follow `before` others; ends early where it is not YAML.
pub(super) fn scan(text: &str, before: usize) -> (Vec<Scalar>, Lines) {
    let (mut scalars, mut lines, mut open) = (Vec::new(), Lines::default(), Vec::<Open>::new());
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        if matches!(event, Event::MappingEnd | Event::SequenceEnd) {
            open.pop();
        }
        if !event.is_node() {
            continue;
        }
        let line = before + span.start.line();
        let scalar = event.scalar().map(|(text, style)| (text.to_owned(), style));
        let (role, pointer) = turn(&mut open, scalar.as_ref().map(|(text, _)| text.as_str()));
        lines.0.entry(pointer.clone()).or_insert(line);
        if let Some((text, style)) = scalar {
            let style = match (style, event.tag()) {
                (_, Some(_)) => Style::Tagged,
                (ScalarStyle::Plain, None) => Style::Plain,
                _ => Style::Quoted,
            };
            scalars.push(Scalar { pointer, line, text, role, style });
        } else if matches!(event, Event::MappingStart(..)) {
            open.push(Open { pointer, next: Next::Key });
        } else if matches!(event, Event::SequenceStart(..)) {
            open.push(Open { pointer, next: Next::Item(0) });
        }
    }
    (scalars, lines)
}

/// What the next node is, by what is open.
fn turn(open: &mut [Open], text: Option<&str>) -> (Role, String) {
    let Some(top) = open.last_mut() else { return (Role::Value, String::new()) };
    match std::mem::replace(&mut top.next, Next::Key) {
        Next::Key => {
            let key = escape(text.unwrap_or("?")); // a collection as a key: no JSON
            let pointer = format!("{}/{key}", top.pointer);
            top.next = Next::ValueOf(key);
            (Role::Key, pointer)
        }
        Next::ValueOf(key) => (Role::Value, format!("{}/{key}", top.pointer)),
        Next::Item(index) => {
            top.next = Next::Item(index + 1);
            (Role::Value, format!("{}/{index}", top.pointer))
        }
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
