//! `local` as users run it: how it ends, what it shows, and how it goes on.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "cli_local/person.rs"]
mod person;
#[path = "cli_local/support.rs"]
mod support;
#[path = "cli_local/unusable.rs"]
mod unusable;

use saga_operator::cli::participants::{DemoServices, EffectState, Fault, FaultMode, RunningServices};
use support::{Desk, Server, definition, end, local, operator, reply, run, saga, signal, start, unread, within};

const CHECKOUT: [&str; 2] = ["definition.yaml", "run.yaml"];

async fn services() -> RunningServices {
    DemoServices::new().start(([127, 0, 0, 1], 0).into()).await.unwrap()
}

fn texts(paths: &[String]) -> Vec<&str> {
    paths.iter().map(String::as_str).collect()
}

/// One step that asks `port`, and how it is undone.
fn step(name: &str, port: u16, more: &str) -> String {
    format!(
        "  - name: {name}\n    action: {{http: {{url: \"http://127.0.0.1:{port}/{name}\", timeoutSeconds: 5}}{more}}}\n    \
         compensation:\n      http: {{url: \"http://127.0.0.1:{port}/undo-{name}\"}}\n      retryPolicy: {{maxAttempts: 2, \
         initialBackoffMilliseconds: 1}}\n"
    )
}

#[tokio::test]
async fn the_example_succeeds_as_it_stands_and_exits_with_0() {
    let (desk, services) = (Desk::new(), services().await);
    let manifests = desk.example("checkout", &CHECKOUT, services.address().port());
    let said = local(&texts(&manifests)).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    for word in ["order-1001", "StepSucceeded", "RUN", "SUCCEEDED", "True", "3/3"] {
        assert!(said.out.contains(word), "{word}: {}", said.out);
    }
    let effects = services.ledger().effects();
    assert_eq!(effects.len(), 3);
    assert!(effects.iter().all(|effect| effect.times == 1 && effect.state == EffectState::Done));
}

#[tokio::test]
async fn a_saga_that_was_compensated_exits_with_1() {
    for (name, undone) in [("run-declined.yaml", 1), ("run-undeliverable.yaml", 2)] {
        let (desk, services) = (Desk::new(), services().await);
        let manifests = desk.example("checkout", &["definition.yaml", name], services.address().port());
        let said = local(&texts(&manifests)).await;
        assert_eq!((said.code, said.err.as_str()), (Some(1), ""), "{}", said.out);
        assert!(said.out.contains("False") && said.out.contains("Compensated"), "{}", said.out);
        let effects = services.ledger().effects();
        assert_eq!(effects.len(), undone, "{name}");
        assert!(effects.iter().all(|effect| effect.times == 1 && effect.state == EffectState::Undone));
    }
}

#[tokio::test]
async fn several_runs_go_side_by_side_and_one_failure_is_enough_for_1() {
    let (desk, services) = (Desk::new(), services().await);
    let names = ["definition.yaml", "run.yaml", "run-declined.yaml", "run-undeliverable.yaml"];
    desk.example("checkout", &names, services.address().port());
    // As a directory.
    let said = local(&[desk.root().to_str().unwrap()]).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let table: Vec<&str> = said.out.lines().skip_while(|line| !line.contains("SUCCEEDED")).collect();
    assert_eq!(table.len(), 4, "{}", said.out);
    for (run, word) in [("order-1001", "Succeeded"), ("order-1002", "Compensated"), ("order-1003", "Compensated")] {
        assert!(table.iter().any(|row| row.contains(run) && row.contains(word)), "{run}: {}", said.out);
    }
}

#[tokio::test]
async fn runs_do_not_wait_for_each_other() {
    // The first answer is given when both runs have asked.
    let both = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let server = Server::start(move |_, _, stream| {
        let both = both.clone();
        Box::pin(async move {
            both.wait().await;
            reply(stream, 200, "", Vec::new()).await;
        })
    })
    .await;
    let desk = Desk::new();
    let runs = [definition(&step("pay", server.port, "")), run("a", "order", ""), run("b", "order", "")];
    let said = local(&[&desk.file("all.yaml", &runs.join("---\n"))]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
}

#[tokio::test]
async fn the_same_command_shows_a_finished_run_and_calls_nobody() {
    for (name, code) in [("run.yaml", 0), ("run-undeliverable.yaml", 1)] {
        let (desk, services) = (Desk::new(), services().await);
        let manifests = desk.example("checkout", &["definition.yaml", name], services.address().port());
        let state = desk.path("state.redb");
        let command = [&["--state", state.as_str()], texts(&manifests).as_slice()].concat();
        let first = local(&command).await;
        assert_eq!(first.code, Some(code), "{}{}", first.out, first.err);
        let calls = services.ledger().entries().len();
        let table = |out: &str| out.lines().skip_while(|line| !line.contains("SUCCEEDED")).map(str::to_owned).collect();
        for _ in 0..2 {
            let again = local(&command).await;
            assert_eq!((again.code, again.err.as_str()), (Some(code), ""));
            let (shown, before): (Vec<_>, Vec<_>) = (table(&again.out), table(&first.out));
            assert_eq!(shown, before);
        }
        assert_eq!(services.ledger().entries().len(), calls);
    }
}

#[tokio::test]
async fn a_finished_run_leaves_nothing_to_run_behind() {
    let (desk, services) = (Desk::new(), services().await);
    let manifests = desk.example("checkout", &CHECKOUT, services.address().port());
    let state = desk.path("state.redb");
    assert_eq!(local(&["--state", &state, &manifests[0], &manifests[1]]).await.code, Some(0));
    let said = local(&["--state", &state, &manifests[0]]).await;
    assert_eq!(said.code, Some(2), "{}", said.out);
    assert!(said.err.contains("nothing to run"), "{}", said.err);
}

#[tokio::test]
async fn a_secret_of_the_manifests_becomes_a_header_and_is_never_shown() {
    let desk = Desk::new();
    let server = Server::answering(200, "{}").await;
    let names = ["definition.yaml", "secret.yaml", "run.yaml"];
    let manifests = desk.example("headers-from-secret", &names, server.port);
    let said = local(&[&["--log", "trace"], texts(&manifests).as_slice()].concat()).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), Some("Bearer not-a-real-token"));
    assert_eq!(seen[0].header("x-shop"), Some("local/harbour"));
    assert!(!said.out.contains("not-a-real-token") && !said.err.contains("not-a-real-token"), "{}", said.err);
}

#[tokio::test]
async fn a_suspended_run_exits_with_1_and_says_how_to_go_on() {
    let (desk, server) = (Desk::new(), Server::answering(200, "{}").await);
    let definition = desk.file("definition.yaml", &definition(&step("pay", server.port, "")));
    let suspended = desk.file("run.yaml", &run("order-1", "order", "  suspend: true\n"));
    let state = desk.path("state.redb");
    let said = local(&["--state", &state, &definition, &suspended]).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    assert!(said.out.contains("Suspended"), "{}", said.out);
    assert!(said.err.contains("order-1") && said.err.contains("`spec.suspend: false`"), "{}", said.err);
    assert_eq!(server.seen().len(), 0);

    let resumed = desk.file("run.yaml", &run("order-1", "order", ""));
    let said = local(&["--state", &state, &definition, &resumed]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_stalled_compensation_exits_with_1_and_asks_for_a_person() {
    let desk = Desk::new();
    let server = Server::start(|_, request, stream| {
        let status = match request.line.as_str() {
            "POST /reserve" => 200,
            "POST /pay" => 402,
            _ => 500,
        };
        Box::pin(reply(stream, status, "", Vec::new()))
    })
    .await;
    let steps = format!("{}{}", step("reserve", server.port, ""), step("pay", server.port, ""));
    let definition = desk.file("definition.yaml", &definition(&steps));
    let order = desk.file("run.yaml", &run("order-1", "order", ""));
    let state = desk.path("state.redb");
    let said = local(&["--state", &state, &definition, &order]).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    assert!(said.out.contains("CompensationExhausted (needs a person)"), "{}", said.out);
    assert!(said.err.contains("order-1") && said.err.contains("a person"), "{}", said.err);
    let calls = server.seen().len();

    // Nothing happens by itself, and a person can end it.
    let again = local(&["--state", &state, &definition, &order]).await;
    assert_eq!(again.code, Some(1), "{}{}", again.out, again.err);
    let abandon = "  cancellation: {policy: Abandon, reason: undone by hand}\n";
    let order = desk.file("run.yaml", &run("order-1", "order", abandon));
    let ended = local(&["--state", &state, &definition, &order]).await;
    assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("Abandoned"), "{}", ended.out);
    assert_eq!(server.seen().len(), calls);
}

#[tokio::test]
async fn steps_run_side_by_side_and_outputs_are_shown_at_the_end() {
    // The first answer is given when both steps have asked.
    let both = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let server = Server::start(move |_, request, stream| {
        let both = both.clone();
        Box::pin(async move {
            if request.line.starts_with("POST /hold") {
                both.wait().await;
            }
            let body = format!("{{\"line\": {:?}}}", request.line);
            reply(stream, 200, "content-type: application/json\r\n", body.into_bytes()).await;
        })
    })
    .await;
    let held = |name: &str| {
        let port = server.port;
        let confirm = format!("    confirm: {{http: {{url: \"http://127.0.0.1:{port}/take-{name}\"}}}}\n");
        let outputs = "    outputs: [{name: line, value: \"${response.body.line}\"}]\n";
        format!("{}    dependsOn: []\n{confirm}{outputs}", step(&format!("hold{name}"), port, ""))
    };
    let steps = format!("{}{}", held("A"), held("B"));
    let outputs =
        "  outputs: [{name: first, value: \"${steps.holdA.outputs.line}\"}, {name: count, value: \"${1 + 1}\"}]\n";
    let desk = Desk::new();
    let manifests = [definition(&steps) + outputs, run("order-1", "order", "")].join("---\n");
    let said = local(&[&desk.file("all.yaml", &manifests)]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    let shown = "\nOutputs of order-1\n  count: 2\n  first: \"POST /holdA\"\n";
    assert!(said.out.ends_with(shown), "{}", said.out);
    let lines: Vec<String> = server.seen().into_iter().map(|request| request.line).collect();
    let (mut held, mut taken) = (lines[..2].to_vec(), lines[2..].to_vec());
    held.sort();
    taken.sort();
    assert_eq!(held, ["POST /holdA", "POST /holdB"]);
    assert_eq!(taken, ["POST /take-A", "POST /take-B"]);
    assert!(said.out.contains("StepConfirmed"), "{}", said.out);
}

#[tokio::test]
async fn work_that_takes_long_is_followed_also_by_the_next_command() {
    let (desk, services) = (Desk::new(), services().await);
    let fault = Fault { milliseconds: Some(3000), direction: Some("forward".into()), ..Fault::new(FaultMode::Async) };
    services.faults().set("payment", fault);
    let manifests = desk.example("checkout", &CHECKOUT, services.address().port());
    let state = desk.path("state.redb");
    let command = [&["local", "--state", state.as_str()], texts(&manifests).as_slice()].concat();
    let child = start(operator(&command));
    let asked = async {
        while !services.ledger().entries().iter().any(|entry| entry.call.path.starts_with("/operations/")) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    within(asked).await;
    signal(&child, "KILL");
    end(child).await;
    let said = end(start(operator(&command))).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    let charges = services.ledger().entries();
    let charges = charges.iter().filter(|entry| entry.call.path == "/payment/charges" && !entry.finish);
    assert_eq!(charges.count(), 1, "it was not sent again");
    assert!(services.ledger().effects().iter().all(|effect| effect.times == 1));
}

#[tokio::test]
async fn an_interrupted_command_says_how_to_go_on_and_does() {
    for name in ["INT", "TERM"] {
        let (desk, services) = (Desk::new(), services().await);
        services.faults().set("payment", Fault { times: Some(1), ..Fault::new(FaultMode::Hang) });
        let manifests = desk.example("checkout", &CHECKOUT, services.address().port());
        let state = desk.path("state.redb");
        let command = [&["local", "--state", state.as_str()], texts(&manifests).as_slice()].concat();
        let child = start(operator(&command));
        let hangs = async {
            while !services.ledger().entries().iter().any(|entry| entry.fault.is_some()) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        within(hangs).await;
        signal(&child, name);
        let said = end(child).await;
        assert_eq!(said.code, Some(1), "{name}: {}", said.err);
        assert!(said.err.contains("the same command goes on") && said.err.contains(&state), "{name}: {}", said.err);

        let said = end(start(operator(&command))).await;
        assert_eq!(said.code, Some(0), "{name}: {}{}", said.out, said.err);
        assert!(services.ledger().effects().iter().all(|effect| effect.times == 1));
        assert_eq!(services.ledger().effects().len(), 3);
    }
}

#[tokio::test]
async fn an_interrupted_command_without_state_says_that_it_cannot_go_on_and_leaves_no_file() {
    let (desk, server) = (Desk::new(), Server::start(|_, _, stream| Box::pin(hang(stream))).await);
    let manifest = desk.file("all.yaml", &saga(&step("pay", server.port, ""), "{}"));
    let mut command = operator(&["local", &manifest]);
    std::fs::create_dir(desk.path("tmp")).unwrap();
    command.env("TMPDIR", desk.path("tmp"));
    let child = start(command);
    server.arrived(1).await;
    signal(&child, "INT");
    let said = end(child).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.err.contains("cannot be resumed"), "{}", said.err);
    assert_eq!(std::fs::read_dir(desk.path("tmp")).unwrap().count(), 0);
}

/// Never answers.
async fn hang(stream: tokio::net::TcpStream) {
    let _open = stream;
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn piped_output_holds_no_escape_codes_whatever_a_participant_answers() {
    let desk = Desk::new();
    let server = Server::start(|_, _, stream| {
        Box::pin(reply(stream, 422, "x-more: \x1b[31mred\r\n", b"\"\x1b[2J\x1b]0;title\x07\"".to_vec()))
    })
    .await;
    let manifest = desk.file("all.yaml", &saga(&step("pay", server.port, ""), "{text: \"\\e[31m\"}"));
    let mut command = operator(&["--log", "trace", "local", &manifest]);
    command.env("TERM", "xterm-256color").env("COLORTERM", "truecolor");
    let said = end(start(command)).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let control = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    assert!(!control(&said.out), "{:?}", said.out);
    assert!(!control(&said.err), "{:?}", said.err);
}

#[tokio::test]
async fn a_reader_that_went_away_stops_neither_the_saga_nor_the_command() {
    let (desk, services) = (Desk::new(), services().await);
    let manifests = desk.example("checkout", &CHECKOUT, services.address().port());
    let code = unread(&[&["--log", "trace", "local"], texts(&manifests).as_slice()].concat()).await;
    assert_eq!((code, services.ledger().effects().len()), (Some(0), 3));
    assert_eq!(unread(&["local", &desk.path("missing.yaml")]).await, Some(2));
}
