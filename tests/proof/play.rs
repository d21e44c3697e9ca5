//! One story, disturbed at one point, and all evidence of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use saga_operator::api::SagaRun;
use saga_operator::cli::participants::{Fault, FaultMode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::history::History;
use super::oracle::Evidence;
use super::point::{DEFINITION, Point, Trap, places};
use super::story::Story;
use crate::common::ledger::account;
use crate::common::operator::Operator;
use crate::common::proxy::{Proxy, Seen, Stage, Verdict};
use crate::common::shop::{Shop, conditions, definition, has_ended, run, stands};
use crate::common::watched::Filter;

/// Worlds side by side: each has an operator and participants of its own, and mostly waits for the takeover.
const SIDE_BY_SIDE: usize = 32;
static ROOM: Semaphore = Semaphore::const_new(SIDE_BY_SIDE);
/// Worlds that are at work until their point is met: more of them, and calls would not be answered in time.
const AT_WORK: usize = 4;
static WORK: Semaphore = Semaphore::const_new(AT_WORK);

/// By so much a slow step comes after its fellows.
const SLOW: Duration = Duration::from_millis(300);
/// So many milliseconds a step that was accepted takes: some polls.
const ACCEPTED: u64 = 2500;
/// What comes so long after the end of a run does not come.
const AFTERMATH: Duration = Duration::from_secs(3);

/// How a story was played.
pub(crate) struct Played {
    /// Whether the point was met.
    pub(crate) met: bool,
    /// Every request that has a label, with its number among its like.
    pub(crate) places: Vec<(String, usize)>,
    /// What is left of the run, as far as it may not differ from play to play.
    pub(crate) left: Value,
    /// Writes on the run that landed.
    pub(crate) writes: usize,
    /// Attempts after the first, of all calls.
    pub(crate) repeated: usize,
    pub(crate) evidence: Evidence,
}

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The operator is killed (`kill -9`), and the request there is lost. Another operator comes.
    Kill,
    /// The request meets this.
    Meet(Verdict),
}

/// Plays a story whose operator sees its watches through a filter.
///
/// Fails when anything that must hold does not.
pub(crate) async fn play_watched(story: &Story, filter: Filter) -> Played {
    let _room = ROOM.acquire().await.expect("open");
    let _work = WORK.acquire().await.expect("open");
    let stage = Theatre::open(story).await;
    stage.api.filter(filter);
    let operator = stage.operator();
    stage.prepare(story, None::<Trap<fn() -> Verdict>>);
    stage.shop.define("saga", stage.spec.clone()).await;
    let history = stage.begin(story).await;
    let ended = stage.shop.ended("order").await;
    let played = stage.judge(story, None, &ended, &history, Vec::new()).await;
    drop((operator, history));
    stage.close().await;
    played
}

/// Plays a story in which something happens at a point, or nothing.
///
/// Fails when anything that must hold does not.
pub(crate) async fn play(story: &Story, disturbed: Option<(&Point, Deed)>) -> Played {
    let _room = ROOM.acquire().await.expect("open");
    let work = WORK.acquire().await.expect("open");
    let stage = Theatre::open(story).await;
    let first = stage.operator();
    let happened = Arc::new(AtomicBool::new(false));
    let point = disturbed.map(|(point, _)| point);
    stage.prepare(story, disturbed.map(|(point, deed)| trap(point, deed, &first, &happened)));
    stage.shop.create(&definition("saga", stage.spec.clone())).await;
    if point.is_none_or(|point| point.label != DEFINITION) {
        stage.shop.ready("saga").await;
    }
    let history = stage.begin(story).await;
    let met = stage.ended_or(&happened).await;
    let (mut replaced, mut second) = (Vec::new(), None);
    if met && disturbed.is_some_and(|(_, deed)| deed == Deed::Kill) {
        first.gone().await;
        replaced.push(Instant::now());
        second = Some(stage.operator());
    }
    drop(work);
    stage.settle_the_pivot().await;
    let ended = stage.shop.ended("order").await;
    let played = stage.judge(story, point, &ended, &history, replaced).await;
    drop((first, second, history));
    stage.close().await;
    Played { met, ..played }
}

/// Plays a story whose operator is killed at a point, and whose next operator is killed at a point of its own life, if that
/// comes.
///
/// Fails when anything that must hold does not.
pub(crate) async fn play_twice(story: &Story, points: &[Point; 2]) -> Played {
    let _room = ROOM.acquire().await.expect("open");
    let work = WORK.acquire().await.expect("open");
    let stage = Theatre::open(story).await;
    let (mut operators, mut replaced, mut met) = (Vec::new(), Vec::new(), true);
    stage.shop.create(&definition("saga", stage.spec.clone())).await;
    let history = stage.begin(story).await;
    let mut work = Some(work);
    for point in points {
        let operator = stage.operator();
        let happened = Arc::new(AtomicBool::new(false));
        stage.prepare(story, Some(trap(point, Deed::Kill, &operator, &happened)));
        met = stage.ended_or(&happened).await;
        if met {
            operator.gone().await;
            replaced.push(Instant::now());
        }
        operators.push(operator);
        work = None;
    }
    drop(work);
    if met {
        operators.push(stage.operator());
    }
    stage.settle_the_pivot().await;
    let ended = stage.shop.ended("order").await;
    let evidence = stage.evidence(&ended, history.until(&ended).await, replaced);
    let played = judge(story, &format!("{} and {}", points[0], points[1]), &ended, evidence);
    drop((operators, history));
    stage.close().await;
    Played { met, ..played }
}

fn trap(
    point: &Point,
    deed: Deed,
    operator: &Operator,
    happened: &Arc<AtomicBool>,
) -> Trap<impl Fn() -> Verdict + 'static> {
    let (victim, happened) = (operator.victim(), happened.clone());
    Trap::new(point.clone(), move || {
        happened.store(true, Ordering::SeqCst);
        match deed {
            Deed::Kill => {
                victim.kill();
                Verdict::Drop
            }
            Deed::Meet(verdict) => verdict,
        }
    })
}

/// Participants and operators of one play, with a proxy before the API server and another before the participants.
pub(crate) struct Theatre {
    pub(crate) shop: Shop,
    pub(crate) api: Proxy,
    pub(crate) wire: Proxy,
    pub(crate) spec: Value,
}

impl Theatre {
    pub(crate) async fn open(story: &Story) -> Self {
        let shop = Shop::open("play").await;
        let api = shop.proxy().await;
        let wire = Proxy::before_participants(shop.services.base_url()).await;
        let spec = (story.spec)(&wire.url());
        if let Some(service) = story.accepting {
            let fault = Fault {
                milliseconds: Some(ACCEPTED),
                direction: Some("forward".to_owned()),
                ..Fault::new(FaultMode::Async)
            };
            shop.services.faults().set(service, fault);
        }
        Self { shop, api, wire, spec }
    }

    /// An operator of this play.
    pub(crate) fn operator(&self) -> Operator {
        self.shop.operator_through(&self.api)
    }

    /// Creates the run.
    pub(crate) async fn begin(&self, story: &Story) -> History {
        let spec = json!({"definitionRef": {"name": "saga"}, "input": (story.input)()});
        History::follow(&self.shop.client, self.shop.create(&run("order", spec)).await)
    }

    /// Sets a trap, and makes slow steps slow.
    pub(crate) fn prepare<F>(&self, story: &Story, trap: Option<Trap<F>>)
    where
        F: Fn() -> Verdict + Send + Sync + 'static,
    {
        let (trap, slow) = (Arc::new(trap), story.slow);
        let at_api = trap.clone();
        let look = |trap: &Option<Trap<F>>, seen: &Seen, at: Stage| trap.as_ref().and_then(|trap| trap.look(seen, at));
        self.api.hook(move |seen, at| look(&at_api, seen, at).unwrap_or(Verdict::Pass));
        self.wire.hook(move |seen, at| {
            let is_slow = at == Stage::Asked && seen.header("saga-step").is_some_and(|step| slow.contains(&step));
            look(&trap, seen, at).unwrap_or(if is_slow { Verdict::Later(SLOW) } else { Verdict::Pass })
        });
    }

    /// Waits until something happened, or until it will not happen any more.
    pub(crate) async fn ended_or(&self, happened: &AtomicBool) -> bool {
        let met = async {
            while !happened.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = async {
            self.shop.ended("order").await;
            tokio::time::sleep(AFTERMATH).await;
        };
        tokio::select! {
            () = met => true,
            () = ended => happened.load(Ordering::SeqCst),
        }
    }

    /// Does what a person would do when a Pivot was refused and may have taken effect all the same: looks, and says so.
    pub(crate) async fn settle_the_pivot(&self) {
        let settled = |run: &SagaRun| has_ended(run) || stands(run) == "PivotInDoubt";
        let run = self.shop.until("order", "ended, or in doubt about its Pivot", settled).await;
        if has_ended(&run) {
            return;
        }
        let pivot = self.spec["steps"].as_array().into_iter().flatten().find(|step| step["role"] == "Pivot");
        let pivot = pivot.expect("a Pivot")["name"].clone();
        let account = account(&self.shop, &run);
        assert!(account.standing().iter().all(|step| pivot != *step), "it took effect: {:#?}", account.entries);
        let mark = json!({
            "id": "looked", "step": pivot, "direction": "Forward", "action": "MarkFailed",
            "reason": "the ledger says so", "requestedBy": "a test",
        });
        self.shop.patch_run("order", json!({"interventions": [mark]})).await;
    }

    /// All that is known of a run.
    pub(crate) fn evidence(&self, run: &SagaRun, states: Vec<Value>, replaced: Vec<Instant>) -> Evidence {
        let effects = account(&self.shop, run).effects;
        Evidence { spec: self.spec.clone(), states, api: self.api.seen(), wire: self.wire.seen(), effects, replaced }
    }

    /// Fails with all that is known when something that must hold does not.
    pub(crate) async fn judge(
        &self,
        story: &Story,
        point: Option<&Point>,
        ended: &SagaRun,
        history: &History,
        replaced: Vec<Instant>,
    ) -> Played {
        let evidence = self.evidence(ended, history.until(ended).await, replaced);
        let place = point.map_or_else(|| "undisturbed".to_owned(), ToString::to_string);
        judge(story, &place, ended, evidence)
    }

    pub(crate) async fn close(self) {
        self.shop.close().await;
    }
}

/// Fails with all that is known when something that must hold does not.
pub(crate) fn judge(story: &Story, place: &str, ended: &SagaRun, evidence: Evidence) -> Played {
    let mut found = evidence.violations();
    if stands(ended) != story.end {
        found.push(format!("L1: it ended {}", stands(ended)));
    }
    let standing = evidence.standing();
    if standing != story.standing {
        found.push(format!("I6: {standing:?} stands"));
    }
    assert!(found.is_empty(), "{}, {place}: {found:#?}\n{}", story.name, evidence.told());
    let seen: Vec<_> = evidence.api.iter().chain(&evidence.wire).cloned().collect();
    let writes = evidence.api.iter().filter(|seen| seen.is_run_write() && seen.landed().is_some()).count();
    Played { met: false, places: places(&seen), left: left(ended), writes, repeated: repeated(ended), evidence }
}

/// How a run ended, without what may differ from play to play: times, versions, attempts and doubts.
fn left(run: &SagaRun) -> Value {
    let status = serde_json::to_value(&run.status).expect("JSON");
    let steps = status["steps"].as_array().into_iter().flatten().map(|step| {
        // A step in doubt is never called Failed: what did not take effect is then undone for nothing.
        let in_doubt = step["state"] == "Unknown" && step["doubtfulAttempts"].as_u64() > Some(0);
        let forward = if in_doubt { json!("Failed") } else { step["state"].clone() };
        let undo = if in_doubt { Value::Null } else { step["compensation"]["state"].clone() };
        json!([step["name"], forward, undo, step["confirm"]["state"], step["outputs"]])
    });
    // A person says what the answer said.
    let reason = status["failure"]["reason"].as_str().unwrap_or_default();
    json!({
        "steps": steps.collect::<Value>(),
        "failure": [status["failure"]["step"], if reason == "MarkedFailed" { "Rejected" } else { reason }],
        "conditions": conditions(run),
        "outputs": status["outputs"],
        "finalizers": run.metadata.finalizers,
    })
}

fn repeated(run: &SagaRun) -> usize {
    let status = serde_json::to_value(&run.status).expect("JSON");
    let steps = status["steps"].as_array().into_iter().flatten();
    let calls = steps.flat_map(|step| [step, &step["compensation"], &step["confirm"]]);
    let repeated = calls.filter_map(|call| call["attempts"].as_u64()).map(|attempts| attempts.saturating_sub(1));
    usize::try_from(repeated.sum::<u64>()).expect("few")
}
