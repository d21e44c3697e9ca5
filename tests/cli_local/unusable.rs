//! Input that cannot be used: exit status 2, and a message that says what to do.

use saga_operator::cli::participants::DemoServices;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::{Desk, Server, definition, end, local, operator, reply, run, saga, signal, start, within};
use crate::{CHECKOUT, hang, step, texts};

#[tokio::test]
async fn no_manifest_at_all_is_unusable() {
    let said = local(&[]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("<MANIFEST>"), "{}", said.err);
}

#[tokio::test]
async fn a_missing_manifest_is_unusable() {
    let desk = Desk::new();
    let path = desk.path("missing.yaml");
    let said = local(&[&path]).await;
    assert_eq!(said.code, Some(2));
    assert_eq!(said.err, format!("error: {path}: there is no such file or directory\n"));
}

#[tokio::test]
async fn what_is_not_yaml_is_unusable_and_has_a_line() {
    let desk = Desk::new();
    let path = desk.file("a.yaml", "apiVersion: sagas.dev/v1alpha1\nkind: [\n");
    let said = local(&[&path]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains(&format!("{path}:2: ")), "{}", said.err);
}

#[tokio::test]
async fn a_foreign_document_is_unusable_and_has_a_line() {
    let desk = Desk::new();
    let foreign = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let path = desk.file("a.yaml", &format!("{}---\n{foreign}", definition(&step("pay", 1, ""))));
    let line = std::fs::read_to_string(&path).unwrap().lines().position(|line| line.contains("ConfigMap")).unwrap() + 1;
    let said = local(&[&path]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains(&format!("{path}:{line}: ")) && said.err.contains("ConfigMap"), "{}", said.err);
}

#[tokio::test]
async fn an_invalid_definition_is_unusable_and_its_field_is_named() {
    let desk = Desk::new();
    let server = Server::answering(200, "").await;
    let steps = step("pay", server.port, "") + "    outputs: [{name: id, value: \"${steps.nobody.outputs.id}\"}]\n";
    let path = desk.file("a.yaml", &saga(&steps, "{}"));
    let said = local(&[&path]).await;
    assert_eq!(said.code, Some(2), "{}", said.out);
    assert!(said.err.contains("'order'") && said.err.contains("spec.steps[0].outputs[0].value"), "{}", said.err);
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_definition_alone_is_nothing_to_run() {
    let desk = Desk::new();
    let said = local(&[&desk.file("a.yaml", &definition(&step("pay", 1, "")))]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("nothing to run"), "{}", said.err);
}

#[tokio::test]
async fn a_run_of_an_unknown_definition_is_unusable_and_leaves_nothing_in_the_state() {
    let (desk, server) = (Desk::new(), Server::answering(200, "").await);
    let order = desk.file("run.yaml", &run("order-1", "order", ""));
    let state = desk.path("state.redb");
    let said = local(&["--state", &state, &order]).await;
    assert_eq!(said.code, Some(2), "{}", said.out);
    assert!(said.err.contains(&format!("{order}:1: ")) && said.err.contains("'order'"), "{}", said.err);

    let other = desk.file("definition.yaml", &definition(&step("pay", server.port, "")));
    let said = local(&["--state", &state, &other]).await;
    assert!(said.err.contains("nothing to run"), "{}", said.err);
    // The definition is in the state now: the run alone is enough.
    assert_eq!(local(&["--state", &state, &order]).await.code, Some(0));
}

#[tokio::test]
async fn a_run_with_another_input_than_the_one_in_the_state_is_unusable() {
    let (desk, server) = (Desk::new(), Server::answering(200, "").await);
    let order = desk.file("a.yaml", &saga(&step("pay", server.port, ""), "{a: 1}"));
    let state = desk.path("state.redb");
    assert_eq!(local(&["--state", &state, &order]).await.code, Some(0));
    let order = desk.file("a.yaml", &saga(&step("pay", server.port, ""), "{a: 2}"));
    let said = local(&["--state", &state, &order]).await;
    assert_eq!(said.code, Some(2), "{}", said.out);
    assert!(said.err.contains("'order-1'") && said.err.contains("spec.input"), "{}", said.err);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_state_file_of_another_process_is_unusable() {
    let (desk, server) = (Desk::new(), Server::start(|_, _, stream| Box::pin(hang(stream))).await);
    let order = desk.file("a.yaml", &saga(&step("pay", server.port, ""), "{}"));
    let state = desk.path("state.redb");
    let first = start(operator(&["local", "--state", &state, &order]));
    server.arrived(1).await;
    let said = local(&["--state", &state, &order]).await;
    assert_eq!(said.code, Some(2), "{}", said.out);
    assert!(said.err.contains("another process holds it") && said.err.contains(&state), "{}", said.err);
    signal(&first, "INT");
    end(first).await;
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_file_that_is_no_state_file_is_unusable_and_stays_as_it_is() {
    let (desk, server) = (Desk::new(), Server::answering(200, "").await);
    let order = desk.file("a.yaml", &saga(&step("pay", server.port, ""), "{}"));
    for content in ["my precious text\n", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
        let state = desk.file("state.redb", content);
        let said = local(&["--state", &state, &order]).await;
        assert_eq!(said.code, Some(2), "{}", said.out);
        assert!(said.err.contains("it is not a state file") && said.err.contains(&state), "{}", said.err);
        assert_eq!(std::fs::read_to_string(&state).unwrap(), content);
    }
    let said = local(&["--state", desk.root().to_str().unwrap(), &order]).await;
    assert_eq!(said.code, Some(2), "{}", said.out);
    let said = local(&["--state", &desk.path("no/such/directory.redb"), &order]).await;
    assert_eq!(said.code, Some(2), "{}", said.out);
    assert!(said.err.contains("its directory does not exist"), "{}", said.err);
    assert_eq!(server.seen().len(), 0);
}

/// The command with files of at most so many blocks, and no signal when they would become larger.
fn with_little_room(blocks: u64, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    command.arg(env!("CARGO_BIN_EXE_saga-operator")).args(args).env_remove("SAGA_LOG").kill_on_drop(true);
    command
}

#[tokio::test]
async fn no_room_at_all_is_unusable_and_the_same_command_works_once_there_is_some() {
    let desk = Desk::new();
    let services = DemoServices::new().start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let manifests = desk.example("checkout", &CHECKOUT, services.address().port());
    let state = desk.path("state.redb");
    let command = [&["local", "--state", state.as_str()], texts(&manifests).as_slice()].concat();
    let said = end(start(with_little_room(0, &command))).await;
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
    assert!(said.err.contains("no room is left") && said.err.contains(&state), "{}", said.err);
    assert_eq!(services.ledger().entries().len(), 0);
    let said = end(start(operator(&command))).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
}

#[tokio::test]
async fn a_disk_that_fills_up_is_said_and_the_runs_go_on_once_there_is_room() {
    const RUNS: usize = 40;
    let (desk, server) = (Desk::new(), Server::start(|_, _, stream| Box::pin(large(stream))).await);
    let outputs: String = (0..15).map(|n| format!("    - {{name: o{n}, value: \"${{response.body}}\"}}\n")).collect();
    let definition = definition(&format!("{}    outputs:\n{outputs}", step("pay", server.port, "")));
    let orders = |more: &str| {
        let runs: String = (0..RUNS).map(|n| format!("---\n{}", run(&format!("order-{n}"), "order", more))).collect();
        format!("{definition}{runs}")
    };
    let state = desk.path("state.redb");
    let suspended = desk.file("suspended.yaml", &orders("  suspend: true\n"));
    assert_eq!(local(&["--state", &state, &suspended]).await.code, Some(1));

    let resumed = desk.file("resumed.yaml", &orders(""));
    let command = ["local", "--state", state.as_str(), resumed.as_str()];
    let blocks = std::fs::metadata(&state).unwrap().len().div_ceil(512);
    let mut full = start(with_little_room(blocks, &command));
    let mut said = BufReader::new(full.stderr.take().unwrap()).lines();
    let complaint = within(said.next_line()).await.unwrap().unwrap();
    assert!(complaint.contains("no room is left") && complaint.contains(&state), "{complaint}");
    signal(&full, "INT");
    let last = within(said.next_line()).await.unwrap().unwrap();
    assert!(last.contains("the same command goes on"), "{last}");
    assert_eq!(end(full).await.code, Some(1));

    let said = end(start(operator(&command))).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    let mut keys: Vec<_> =
        server.seen().iter().map(|request| request.header("idempotency-key").unwrap().to_owned()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), RUNS);
}

/// As much as fits into an output.
async fn large(stream: TcpStream) {
    reply(stream, 200, "", format!("\"{}\"", "x".repeat(1000)).into()).await;
}
