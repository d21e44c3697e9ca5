//! `crds/` holds what the types say.

use std::fs;
use std::path::PathBuf;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use saga_operator::api::schema::{crd_yaml, crds, crds_yaml};

fn path(crd: &CustomResourceDefinition) -> PathBuf {
    let file = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crds").join(file)
}

#[test]
fn the_committed_crds_are_the_generated_ones() {
    let update = std::env::var_os("UPDATE_CRDS").is_some();
    for crd in crds() {
        let path = path(&crd);
        let generated = crd_yaml(&crd);
        if update {
            fs::write(&path, &generated).expect("failed to write the CRD");
        }
        let committed = fs::read_to_string(&path).expect("failed to read the committed CRD");
        assert!(
            committed == generated,
            "{} is not what src/api generates: run `UPDATE_CRDS=1 cargo test --test crd_files`",
            path.display()
        );
    }
}

#[test]
fn the_yaml_stream_holds_definition_and_run_without_loss() {
    let read: Vec<CustomResourceDefinition> =
        serde_saphyr::from_multiple(&crds_yaml()).expect("the stream must be YAML");
    assert_eq!(read, crds());
    let kinds: Vec<_> = read.iter().map(|crd| crd.spec.names.kind.as_str()).collect();
    assert_eq!(kinds, ["SagaDefinition", "SagaRun"]);
}
