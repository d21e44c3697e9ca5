//! temporary
use crate::api::{SagaDefinitionSpec, SagaRunSpec};
use crate::participant::StaticCredentials;
use std::path::PathBuf;
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ManifestErrors(String);
pub(crate) struct Named<T> {
    pub(crate) name: String,
    pub(crate) spec: T,
}
#[derive(Default)]
pub(crate) struct Manifests {
    pub(crate) definitions: Vec<Named<SagaDefinitionSpec>>,
    pub(crate) runs: Vec<Named<SagaRunSpec>>,
}
impl Manifests {
    pub(crate) fn credentials(&self) -> StaticCredentials {
        StaticCredentials::default()
    }
}
pub(crate) fn read(paths: &[PathBuf]) -> Result<Manifests, ManifestErrors> {
    let mut all = Manifests::default();
    for p in paths {
        let t = std::fs::read_to_string(p).map_err(|e| ManifestErrors(e.to_string()))?;
        let m = parse("x", &t)?;
        all.definitions.extend(m.definitions);
        all.runs.extend(m.runs);
    }
    Ok(all)
}
pub(crate) fn parse(_name: &str, text: &str) -> Result<Manifests, ManifestErrors> {
    let mut all = Manifests::default();
    for doc in text.split("\n---\n") {
        let v: serde_json::Value = serde_saphyr::from_str(doc).map_err(|e| ManifestErrors(e.to_string()))?;
        let name = v["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if v["kind"] == "SagaRun" {
            all.runs.push(Named {
                name,
                spec: serde_json::from_value(v["spec"].clone()).map_err(|e| ManifestErrors(e.to_string()))?,
            });
        } else {
            all.definitions.push(Named {
                name,
                spec: serde_json::from_value(v["spec"].clone()).map_err(|e| ManifestErrors(e.to_string()))?,
            });
        }
    }
    Ok(all)
}
