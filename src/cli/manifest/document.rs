//! One document: which kind it is, and what it says.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::reading::{Finding, look};
use super::scan::{Lines, scan};
use super::source::Part;
use super::{Manifests, Named, Place, Remark, remark};
use crate::api::names::{GROUP, VERSION};
use crate::participant::SecretValue;

/// Longest name of an object: it becomes part of headers.
const MAX_NAME: usize = 63;

/// What every document has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    api_version: Option<Value>,
    kind: Option<Value>,
}

/// What is known of `metadata`; the rest does not matter without a cluster.
#[derive(Default, Deserialize)]
struct Metadata {
    name: Option<String>,
}

/// A saga object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, bound = "S: DeserializeOwned")]
struct Object<S> {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: Option<Metadata>,
    spec: Option<S>,
    #[serde(rename = "status")]
    _status: Option<IgnoredAny>,
}

/// A Secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Secret {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: Option<Metadata>,
    #[serde(rename = "type")]
    _type: Option<IgnoredAny>,
    #[serde(rename = "immutable")]
    _immutable: Option<IgnoredAny>,
    data: Option<BTreeMap<String, String>>,
    string_data: Option<BTreeMap<String, String>>,
}

/// A document on its way.
pub(super) struct Reader<'a> {
    file: &'a Arc<str>,
    part: &'a Part<'a>,
}

type Errors = Vec<Remark>;

/// Reads a document into `all`.
pub(super) fn read(file: &Arc<str>, part: &Part<'_>, all: &mut Manifests) -> Result<(), Errors> {
    let reader = Reader::new(file, part);
    let outline: Outline = reader.parse(part.text)?;
    let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (text(&outline.api_version), text(&outline.kind));
    let (group, _) = version.rsplit_once('/').unwrap_or_default();
    match (group == GROUP && version == format!("{GROUP}/{VERSION}"), kind.as_str()) {
        (true, "SagaDefinition") => all.definitions.push(reader.object(&mut all.warnings)?),
        (true, "SagaRun") => all.runs.push(reader.object(&mut all.warnings)?),
        (false, "Secret") if version == "v1" => all.secrets.push(reader.secret()?),
        (false, "SagaDefinition" | "SagaRun") => {
            return Err(reader.at("apiVersion", format!("the `apiVersion` of a {kind} is `{GROUP}/{VERSION}`")));
        }
        _ if version.is_empty() || kind.is_empty() => {
            return Err(reader.wrong("it has no `apiVersion` and `kind`, so it is no manifest"));
        }
        _ => {
            let message = format!(
                "nothing is known here of the kind `{kind}` of `{version}`: only of SagaDefinition and SagaRun of \
                 `{GROUP}/{VERSION}`, and of Secret of `v1`"
            );
            return Err(reader.at("kind", message));
        }
    }
    Ok(())
}

impl<'a> Reader<'a> {
    pub(super) const fn new(file: &'a Arc<str>, part: &'a Part<'a>) -> Self {
        Self { file, part }
    }

    fn object<S: DeserializeOwned + Serialize>(&self, warnings: &mut Vec<Remark>) -> Result<Named<S>, Errors> {
        let object: Object<S> = self.parse(self.part.text)?;
        let name = self.name(object.metadata)?;
        let spec = object.spec.ok_or_else(|| self.wrong("`spec` is missing"))?;
        let typed = json!({ "metadata": { "name": name }, "spec": spec });
        let (scalars, lines) = scan(self.part.text, self.part.before);
        let mut errors = Vec::new();
        for scalar in &scalars {
            match look(scalar, &typed) {
                Some(Finding::Error(message)) => errors.push(remark(self.file, Some(scalar.line), message)),
                Some(Finding::Warning(message)) => warnings.push(remark(self.file, Some(scalar.line), message)),
                None => {}
            }
        }
        if errors.is_empty() { Ok(self.named(name, spec, lines)) } else { Err(errors) }
    }

    /// Messages about values are not passed on: they could quote them.
    fn secret(&self) -> Result<Named<BTreeMap<String, SecretValue>>, Errors> {
        let secret: Secret = options_parse(self.part.text).map_err(|error| {
            let line = error.location().map_or(self.part.start, |place| self.line(place.line()));
            let message = "`data` and `stringData` of a Secret are names with texts: numbers, `true` and `false` in quotes; \
                           beside them are `metadata`, `type` and `immutable` only";
            vec![remark(self.file, Some(line), message)]
        })?;
        let name = self.name(secret.metadata)?;
        let (scalars, lines) = scan(self.part.text, self.part.before);
        let typed = json!({ "stringData": secret.string_data, "data": secret.data });
        let mut errors: Errors = scalars
            .iter()
            .filter(|scalar| matches!(look(scalar, &typed), Some(Finding::Error(_))))
            .map(|scalar| remark(self.file, Some(scalar.line), "a value of a Secret is a text: put it in quotes"))
            .collect();
        let mut values = BTreeMap::new();
        for (key, text) in secret.data.unwrap_or_default() {
            match base64::engine::general_purpose::STANDARD.decode(text.split_whitespace().collect::<String>()) {
                Ok(value) => {
                    values.insert(key, SecretValue::new(value));
                }
                Err(_) => {
                    let message = format!("`data.{key}` is not base64: plain values belong under `stringData`");
                    errors.push(remark(self.file, lines.nearest(&format!("data.{key}")), message));
                }
            }
        }
        values.extend(
            secret.string_data.unwrap_or_default().into_iter().map(|(key, text)| (key, SecretValue::new(text))),
        );
        if errors.is_empty() { Ok(self.named(name, values, lines)) } else { Err(errors) }
    }

    fn named<T>(&self, name: String, spec: T, lines: Lines) -> Named<T> {
        Named { name, spec, place: Place { file: self.file.clone(), line: Some(self.part.start) }, lines }
    }

    fn name(&self, metadata: Option<Metadata>) -> Result<String, Errors> {
        let name = metadata.and_then(|metadata| metadata.name).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| self.at("metadata", "`metadata.name` is missing"))?;
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if name.len() <= MAX_NAME && name.chars().all(inner) && edge(name.chars().next()) && edge(name.chars().last()) {
            return Ok(name);
        }
        let message = format!(
            "`metadata.name` is at most {MAX_NAME} lower-case letters, digits, `-` and `.`, with a letter or a digit at \
             both ends"
        );
        Err(self.at("metadata.name", message))
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, Errors> {
        options_parse(text).map_err(|error| {
            let line = error.location().map_or(self.part.start, |place| self.line(place.line()));
            vec![remark(self.file, Some(line), self.explain(&error, line))]
        })
    }

    /// The parser's words, and what usually is behind them.
    fn explain(&self, error: &serde_saphyr::Error, line: usize) -> String {
        let options = serde_saphyr::render_options! {
            formatter: &serde_saphyr::UserMessageFormatter,
            snippets: serde_saphyr::SnippetMode::Off,
        };
        let said = error.render_with_options(options);
        let said = said.split(" at line ").next().unwrap_or_default();
        let said = said.split(" (defined at line ").next().unwrap_or_default();
        let written = self.part.text.lines().nth(line.saturating_sub(self.part.before + 1)).unwrap_or_default();
        if said.contains("tabs disallowed") {
            return "a line begins with a tab: YAML is indented with spaces".to_owned();
        }
        let said = match said {
            "expected mapping start" => "expected fields (`name: value`)",
            "expected sequence start" => "expected a list (lines with `- `)",
            "expected string scalar" => "expected a text",
            said if said.starts_with("invalid i32") => "expected a whole number, without quotes or unit",
            said => said,
        };
        let unquoted = written.split_once("${").is_some_and(|(before, _)| !before.contains(['"', '\'']));
        let hint = if unquoted { "; put the value with `${` in quotes, as \"${...}\"" } else { "" };
        format!("{said}{hint}")
    }

    fn line(&self, within: u64) -> usize {
        self.part.before + usize::try_from(within).unwrap_or(0)
    }

    fn wrong(&self, message: impl Into<String>) -> Errors {
        vec![remark(self.file, Some(self.part.start), message)]
    }

    fn at(&self, field: &str, message: impl Into<String>) -> Errors {
        let (_, lines) = scan(self.part.text, self.part.before);
        vec![remark(self.file, lines.nearest(field).or(Some(self.part.start)), message)]
    }
}

fn options_parse<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { with_snippet: false })
}
