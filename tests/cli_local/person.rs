//! What a person does about a stalled call of a local run.

use super::step;
use super::support::{Desk, Server, definition, local, reply, run};

/// The reservation can be taken back only if its key ends so.
async fn stubborn(key: &'static str) -> Server {
    Server::start(move |_, request, stream| {
        let undone = request.header("idempotency-key").is_some_and(|asked| asked.ends_with(key));
        let status = match request.line.as_str() {
            "POST /reserve" => 200,
            "POST /undo-reserve" if undone => 200,
            _ => 422,
        };
        Box::pin(reply(stream, status, "", Vec::new()))
    })
    .await
}

fn decided(entries: &[&str]) -> String {
    run("order-1", "order", &format!("  interventions:\n{}", entries.concat()))
}

fn entry(id: &str, action: &str) -> String {
    format!(
        "    - {{id: \"{id}\", step: reserve, direction: Compensate, action: {action}, reason: looked, requestedBy: me}}\n"
    )
}

#[tokio::test]
async fn the_advice_is_an_entry_that_ends_the_stall() {
    let (desk, server) = (Desk::new(), stubborn("/2\"").await);
    let steps = format!("{}{}", step("reserve", server.port, ""), step("pay", server.port, ""));
    let definition = desk.file("definition.yaml", &definition(&steps));
    let order = desk.file("run.yaml", &run("order-1", "order", ""));
    let state = desk.path("state.redb");
    let said = local(&["--state", &state, &definition, &order]).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    for words in [
        "order-1: it needs a person\n  reserve (compensation) is stalled: CompensationExhausted: ",
        "2 attempts under the key \"",
        "/reserve/compensate\"; none of them may have taken effect",
        "docs/interventions.md",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    // As it is shown, with a reason.
    let advised = said.err.lines().find(|line| line.contains("- {id:")).unwrap();
    let more = format!("  interventions:\n    {}\n", advised.trim_start());
    desk.file("run.yaml", &run("order-1", "order", &more.replace("...", "it works again")));
    let said = local(&["--state", &state, &definition, &order]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(1), ""), "{}", said.out);
    assert!(said.out.contains("Intervened") && said.out.contains(" Compensated "), "{}", said.out);
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn what_was_done_by_hand_is_marked_after_a_retry_that_did_not_help() {
    let (desk, server) = (Desk::new(), stubborn("never").await);
    let steps = format!("{}{}", step("reserve", server.port, ""), step("pay", server.port, ""));
    let definition = desk.file("definition.yaml", &definition(&steps));
    let order = desk.file("run.yaml", &run("order-1", "order", ""));
    let state = desk.path("state.redb");
    let command = ["--state", state.as_str(), &definition, &order];
    assert_eq!(local(&command).await.code, Some(1));
    let (retry, mark) = (entry("1", "Retry"), entry("2", "MarkSucceeded"));

    desk.file("run.yaml", &decided(&[&retry]));
    let said = local(&command).await;
    assert!(said.err.contains("- {id: \"2\", step: reserve"), "{}", said.err);
    let calls = server.seen().len();

    // An older manifest takes nothing back, another first entry is refused.
    desk.file("run.yaml", &run("order-1", "order", ""));
    assert_eq!(local(&command).await.code, Some(1));
    desk.file("run.yaml", &decided(&[&mark]));
    let said = local(&command).await;
    assert_eq!(said.code, Some(2), "{}", said.out);
    assert!(said.err.contains("`spec.interventions` can only be added to"), "{}", said.err);

    desk.file("run.yaml", &decided(&[&retry, &mark]));
    let said = local(&command).await;
    assert_eq!((said.code, said.err.as_str()), (Some(1), ""), "{}", said.out);
    assert!(said.out.contains("CompensatedByHand"), "{}", said.out);
    assert_eq!(server.seen().len(), calls);
}

#[tokio::test]
async fn a_new_run_has_no_decisions() {
    let (desk, server) = (Desk::new(), Server::answering(200, "{}").await);
    let manifests = [definition(&step("reserve", server.port, "")), decided(&[&entry("1", "Retry")])].join("---\n");
    let said = local(&["--state", &desk.path("state.redb"), &desk.file("all.yaml", &manifests)]).await;
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
    assert!(said.err.contains("a new run has none"), "{}", said.err);
    assert_eq!(server.seen().len(), 0);
}
