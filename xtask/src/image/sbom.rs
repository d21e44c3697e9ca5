//! The bill of materials: every crate in the binary, as `CycloneDX` 1.6.
//!
//! Caveats: C code that crates bring (aws-lc) is listed as its crate. The standard library is not listed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::metadata::{Metadata, MetadataError, Package};
use super::source::Source;

/// The document.
pub(super) fn write(metadata: &Metadata, lock: &str, source: &Source) -> Result<Vec<u8>, MetadataError> {
    let all = metadata.compiled_in()?;
    let sums = checksums(lock);
    let reference: BTreeMap<&str, String> =
        all.iter().map(|(package, _)| (package.id.as_str(), purl(package))).collect();
    let operator = metadata.operator()?;
    let libraries = all.iter().map(|(package, _)| *package).filter(|package| package.id != operator.id);
    let dependencies = all.iter().map(|(package, on)| {
        let on: Vec<_> = on.iter().filter_map(|id| reference.get(id)).collect();
        json!({"ref": purl(package), "dependsOn": on})
    });
    let mut own = component(operator, "application", &sums);
    if let Some(commit) = &source.commit {
        own["properties"] = json!([{"name": "commit", "value": commit}]);
    }
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": source.timestamp(), "component": own},
        "components": libraries.map(|package| component(package, "library", &sums)).collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    });
    Ok(serde_json::to_vec(&document)?)
}

fn component(package: &Package, kind: &str, sums: &BTreeMap<(&str, &str), &str>) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
    });
    if let Some(license) = &package.license {
        // The old way of writing "or".
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    if let Some(repository) = &package.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    if let Some(sum) = sums.get(&(package.name.as_str(), package.version.as_str())) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
    }
    component
}

fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"))
}

/// What the lock file says of each crate, by name and version.
fn checksums(lock: &str) -> BTreeMap<(&str, &str), &str> {
    let mut sums = BTreeMap::new();
    for block in lock.split("[[package]]") {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
            line.strip_suffix('"')
        };
        if let (Some(name), Some(version), Some(sum)) = (field("name"), field("version"), field("checksum")) {
            sums.insert((name, version), sum);
        }
    }
    sums
}
