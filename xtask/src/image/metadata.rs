//! What cargo says about the operator and what it is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use crate::stream;

/// Cargo does not say it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataError {
    /// It did not start.
    #[error("failed to run cargo metadata")]
    Run(#[from] std::io::Error),
    /// It failed.
    #[error("cargo metadata failed: {0}")]
    Failed(String),
    /// Its answer is not understood.
    #[error("failed to read what cargo metadata printed")]
    Read(#[from] serde_json::Error),
    /// A package is missing in its answer.
    #[error("cargo metadata does not know the package {0}")]
    Unknown(String),
}

/// Its answer, as far as it is needed.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// Every package.
    packages: Vec<Package>,
    /// Who depends on whom.
    resolve: Resolve,
    /// Where cargo puts what it builds.
    pub(crate) target_directory: PathBuf,
}

/// One package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Cargo's name for it, with the version and the source.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its licence, as its author wrote it.
    pub(crate) license: Option<String>,
    /// Its repository.
    pub(crate) repository: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    /// None for what is compiled in; `build` and `dev` are not.
    kind: Option<String>,
}

/// Asks cargo about what is compiled for a platform.
pub(crate) fn read(triple: &str) -> Result<Metadata, MetadataError> {
    let mut cargo = stream::cargo();
    cargo.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", triple]);
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(MetadataError::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

impl Metadata {
    /// The operator's own package.
    pub(crate) fn operator(&self) -> Result<&Package, MetadataError> {
        let found = self.packages.iter().find(|package| package.name == "saga-operator");
        found.ok_or_else(|| MetadataError::Unknown("saga-operator".to_owned()))
    }

    /// Every package that is compiled into the operator, the operator among them, each with what it depends on; sorted.
    pub(crate) fn compiled_in(&self) -> Result<Vec<(&Package, BTreeSet<&str>)>, MetadataError> {
        let packages: BTreeMap<_, _> = self.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let nodes: BTreeMap<_, _> = self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut found = BTreeMap::new();
        let mut open = vec![self.operator()?.id.as_str()];
        while let Some(id) = open.pop() {
            if found.contains_key(id) {
                continue;
            }
            let unknown = || MetadataError::Unknown(id.to_owned());
            let (package, node) = packages.get(id).zip(nodes.get(id)).ok_or_else(unknown)?;
            let linked =
                node.deps.iter().filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            let dependencies: BTreeSet<&str> = linked.map(|dependency| dependency.pkg.as_str()).collect();
            open.extend(&dependencies);
            found.insert(id, (*package, dependencies));
        }
        let mut all: Vec<_> = found.into_values().collect();
        all.sort_by(|(one, _), (other, _)| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
        Ok(all)
    }
}
