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
    for crd in crds() {
        let path = path(&crd);
        let committed = fs::read_to_string(&path).expect("failed to read the committed CRD");
        let without_comment: String =
            committed.split_inclusive('\n').skip_while(|line| line.starts_with('#')).collect();
        assert!(
            without_comment == crd_yaml(&crd),
            "{} is not what src/api makes: run `cargo xtask generate`",
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
