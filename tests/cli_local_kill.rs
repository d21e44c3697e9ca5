//! `local` with a state file, killed at every moment that a participant or the output can tell apart.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "cli_local/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use saga_operator::cli::participants::{Change, DemoServices, EffectState, RunningServices};
use support::{Desk, Request, Server, end, forward, operator, start, within};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Cases at a time: each waits more than it computes.
const AT_A_TIME: usize = 8;

/// When the command is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The request is there, nothing has happened.
    Arrived,
    /// It took effect, and no byte of the answer has left.
    TookEffect,
    /// The answer is on its way, or there, or even stored.
    Answered,
    /// A line of the output is there, so that what it says is stored.
    Told,
}

/// A saga and what is left of it in the end.
#[derive(Clone, Copy)]
struct Story {
    run: &'static str,
    requests: usize,
    lines: usize,
    code: i32,
    made: usize,
    state: EffectState,
}

const FORWARD: Story = Story { run: "run.yaml", requests: 3, lines: 5, code: 0, made: 3, state: EffectState::Done };
const COMPENSATING: Story =
    Story { run: "run-undeliverable.yaml", requests: 5, lines: 8, code: 1, made: 2, state: EffectState::Undone };

/// Stands before the services and tells when a request is at its moment. The request is held from then on.
struct Gate {
    at: usize,
    moment: Moment,
    services: u16,
    /// Once only: what comes afterwards passes.
    shut: AtomicBool,
    reached: Semaphore,
}

impl Gate {
    async fn pass(&self, number: usize, request: Request, mut stream: TcpStream) {
        let moment = |moment| number == self.at && self.moment == moment;
        if moment(Moment::Arrived) {
            return self.hold(stream).await;
        }
        let answer = forward(&request, self.services).await;
        if moment(Moment::TookEffect) {
            return self.hold(stream).await;
        }
        // The one who asked may be dead.
        let _sent = stream.write_all(&answer).await;
        let _closed = stream.shutdown().await;
        if moment(Moment::Answered) {
            self.hold(stream).await;
        }
    }

    async fn hold(&self, stream: TcpStream) {
        assert!(!self.shut.swap(true, Ordering::SeqCst));
        self.reached.add_permits(1);
        let _open = stream;
        std::future::pending::<()>().await;
    }
}

/// Runs a story, kills it at its moment, runs it again, and looks at what is left.
async fn killed(story: Story, at: usize, moment: Moment) {
    let case = format!("{}: killed when {at} was {moment:?}", story.run);
    let services = DemoServices::new().start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let gate = Arc::new(Gate {
        at,
        moment,
        services: services.address().port(),
        shut: AtomicBool::new(false),
        reached: Semaphore::new(0),
    });
    let door = gate.clone();
    let server = Server::start(move |number, request, stream| {
        let door = door.clone();
        Box::pin(async move { door.pass(number, request, stream).await })
    })
    .await;
    let desk = Desk::new();
    let manifests = desk.example("checkout", &["definition.yaml", story.run], server.port);
    // The answer to a call in doubt is waited for as long as the call may take: two seconds instead of up to ten.
    let definition = std::fs::read_to_string(&manifests[0]).unwrap().replace("          timeoutSeconds: 3\n", "");
    let quick = "          timeoutSeconds: 2\n          body:";
    desk.file("definition.yaml", &definition.replace("          body:", quick));
    let state = desk.path("state.redb");
    let command = ["local", "--state", &state, &manifests[0], &manifests[1]];

    let mut first = start(operator(&command));
    let out = first.stdout.take().unwrap();
    if moment == Moment::Told {
        let mut lines = BufReader::new(out).lines();
        for _ in 0..=at {
            assert!(within(lines.next_line()).await.unwrap().is_some(), "{case}: fewer lines than that");
        }
    } else {
        within(gate.reached.acquire()).await.unwrap().forget();
    }
    // By SIGKILL. It may be over already when the last answer was on its way.
    first.kill().await.unwrap();

    let said = end(start(operator(&command))).await;
    assert_eq!((said.code, said.err.as_str()), (Some(story.code), ""), "{case}: {}", said.out);
    once_each(&case, story, &services);
    same_key_same_request(&case, &server.seen());

    let calls = services.ledger().entries().len();
    let again = end(start(operator(&command))).await;
    assert_eq!(again.code, Some(story.code), "{case}: {}", again.out);
    assert_eq!(services.ledger().entries().len(), calls, "{case}");
}

fn once_each(case: &str, story: Story, services: &RunningServices) {
    let effects = services.ledger().effects();
    assert_eq!(effects.len(), story.made, "{case}: {effects:#?}");
    assert!(effects.iter().all(|effect| effect.times == 1 && effect.state == story.state), "{case}: {effects:#?}");
    let entries = services.ledger().entries();
    let undone: Vec<_> = entries.iter().filter(|entry| entry.change == Change::Undone).collect();
    let order: Vec<_> = undone.iter().filter_map(|entry| entry.call.step.as_deref()).collect();
    let expected: &[&str] = if story.state == EffectState::Undone { &["chargeCard", "reserveStock"] } else { &[] };
    assert_eq!(order, expected, "{case}");
    // Of two calls of a step the one decided later has the higher fence.
    let mut fences = BTreeMap::new();
    for entry in &entries {
        let before = fences.insert(entry.call.step.clone(), entry.call.fence);
        assert!(before.is_none_or(|before| before < entry.call.fence), "{case}: {entries:#?}");
    }
}

/// Attempt, fence, deadline and the span may differ.
fn same_key_same_request(case: &str, requests: &[Request]) {
    let mut first = BTreeMap::new();
    for request in requests {
        let own = request.headers_without(&["saga-attempt", "saga-fence", "saga-deadline", "traceparent"]);
        let content = (request.line.clone(), own, request.body.clone());
        let key = request.header("idempotency-key").unwrap().to_owned();
        assert_eq!(first.entry(key).or_insert_with(|| content.clone()), &content, "{case}");
    }
}

async fn all(cases: impl Iterator<Item = (Story, usize, Moment)>) {
    futures::stream::iter(cases).for_each_concurrent(AT_A_TIME, |(story, at, moment)| killed(story, at, moment)).await;
}

fn at_every_request(story: Story) -> impl Iterator<Item = (Story, usize, Moment)> {
    let moments = [Moment::Arrived, Moment::TookEffect, Moment::Answered];
    (0..story.requests).flat_map(move |at| moments.map(|moment| (story, at, moment)))
}

#[tokio::test]
async fn a_saga_killed_at_any_request_goes_forward_to_its_end_with_each_effect_once() {
    all(at_every_request(FORWARD)).await;
}

#[tokio::test]
async fn a_saga_killed_at_any_request_is_compensated_to_its_end_with_each_effect_undone_once() {
    all(at_every_request(COMPENSATING)).await;
}

#[tokio::test]
async fn a_saga_killed_when_any_decision_was_just_told_ends_as_it_would_have() {
    let told = |story: Story| (0..story.lines).map(move |line| (story, line, Moment::Told));
    all(told(FORWARD).chain(told(COMPENSATING))).await;
}
