//! A document under judgement.

use serde_json::Value;

use super::schema::path_of;
use crate::cli::manifest::Place;
use crate::cli::manifest::untyped::Untyped;

/// One document of a file.
#[derive(Debug)]
pub(in crate::cli) struct Document(Untyped);

impl Document {
    /// Takes a document as it was read.
    pub(super) const fn new(untyped: Untyped) -> Self {
        Self(untyped)
    }

    /// What it says.
    pub(in crate::cli) const fn value(&self) -> &Value {
        &self.0.object.spec
    }

    /// Where it begins.
    pub(in crate::cli) const fn place(&self) -> &Place {
        &self.0.object.place
    }

    /// Where a field stands, else the nearest that would hold it.
    pub(in crate::cli) fn place_of(&self, field: &str) -> Place {
        self.0.object.place_of(field)
    }

    /// A member of `metadata`, or an empty text.
    pub(in crate::cli) fn metadata(&self, member: &str) -> &str {
        self.value()["metadata"][member].as_str().unwrap_or_default()
    }

    /// `sagadefinition/checkout`.
    pub(in crate::cli) fn title(&self) -> String {
        let kind = self.value()["kind"].as_str().unwrap_or_default().to_ascii_lowercase();
        let name = self.metadata("name");
        let name = if name.is_empty() { self.metadata("generateName") } else { name };
        format!("{kind}/{name}")
    }

    /// Fields whose writing kubectl would refuse, and why.
    pub(super) fn errors(&self) -> impl Iterator<Item = (String, &str)> {
        self.fields(&self.0.errors)
    }

    /// Fields whose writing kubectl reads as it is rarely meant.
    pub(super) fn warnings(&self) -> impl Iterator<Item = (String, &str)> {
        self.fields(&self.0.warnings)
    }

    fn fields<'a>(&'a self, remarks: &'a [(String, String)]) -> impl Iterator<Item = (String, &'a str)> {
        remarks.iter().map(|(pointer, message)| (path_of(self.value(), pointer), message.as_str()))
    }
}
