//! What `check` finds in the invalid examples, the condition of the definition says, too.

#[path = "definitions/bench.rs"]
#[allow(dead_code, reason = "made for the tests of definitions, and of those this needs a part")]
mod bench;
mod common;

use std::fs;
use std::path::PathBuf;

use bench::Bench;
use saga_operator::api::{ConditionStatus, SagaDefinition};

const CHECK: &str = "# Found by `saga-operator check` and the controller: ";

/// Name, reason and field of every example whose mistake the API server cannot see, with the definition.
fn examples() -> Vec<(String, String, String, SagaDefinition)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/invalid");
    let entries = fs::read_dir(folder).expect("failed to list the examples");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("failed to read an example");
        let (reason, field) = text.lines().nth(1)?.strip_prefix(CHECK)?.split_once(" at ")?;
        let name = path.file_stem()?.to_string_lossy().into_owned();
        let definition = serde_saphyr::from_str(&text).expect("the example is a definition");
        Some((name, reason.to_owned(), field.to_owned(), definition))
    };
    entries.filter_map(|entry| read(entry.expect("failed to list the examples").path())).collect()
}

#[tokio::test]
async fn a_mistake_that_the_api_server_cannot_see_is_a_condition_with_the_field_and_the_reason() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    let examples = examples();
    assert!(examples.len() >= 20, "only {} examples", examples.len());
    for (name, _, _, definition) in &examples {
        bench.create(name, definition.spec.clone()).await;
    }
    for (name, reason, field, _) in &examples {
        let refused = bench.looked_at(name).await;
        let ready = bench::condition(&refused, "Ready");
        assert_eq!((ready.status, &ready.reason), (ConditionStatus::False, reason), "{name}: {}", ready.message);
        let (at, said) = ready.message.split_once(": ").expect("a field and what is wrong with it");
        // A body is one template to the controller; check says which string of it is meant.
        assert!(field.starts_with(at), "{name}: wanted {field}, got {}", ready.message);
        assert!(!said.is_empty() && !said.ends_with(" more)"), "{name}: one mistake, got {}", ready.message);
        let stalled = bench::condition(&refused, "Stalled");
        assert_eq!((stalled.status, &stalled.reason), (ConditionStatus::True, reason), "{name}");
    }
    bench.end(operator).await;
}
