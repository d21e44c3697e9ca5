//! One life: a world as a tape has it, from its beginning until everybody has settled.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use saga_operator::saga::Tenure;

use super::fate::{Choices, Fate, Source, Tape, Telling};
use super::oracle;
use super::people;
use super::services::Weakness;
use super::shape::drawn;
use super::world::World;

/// What is left of a life.
pub struct Life {
    /// Promises that it broke.
    pub broken: Vec<String>,
    pub tape: Tape,
    /// What happened, line by line, if it was told.
    pub story: Vec<String>,
    pub faults: BTreeMap<&'static str, u32>,
    /// How runs ended, and how many.
    pub ends: BTreeMap<String, u32>,
}

/// Lives it.
pub fn live(choices: Choices, telling: Telling) -> Life {
    live_with(choices, telling, None)
}

/// Lives it among participants, or with a sender, that do not keep their word.
pub fn live_with(choices: Choices, telling: Telling, weakness: Option<Weakness>) -> Life {
    hear_panics();
    HEARD.with_borrow_mut(|heard| *heard = Some(Vec::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let fate = runtime.block_on(async { Arc::new(Fate::new(choices, telling)) });
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(pass(fate.clone(), weakness))));
    drop(runtime);
    let (mut broken, ends) = lived.unwrap_or_else(|panic| (vec![words(panic.as_ref())], BTreeMap::new()));
    broken.extend(HEARD.take().unwrap_or_default());
    Life { broken, tape: fate.drawn(), story: fate.story(), faults: fate.faults(), ends }
}

async fn pass(fate: Arc<Fate>, weakness: Option<Weakness>) -> (Vec<String>, BTreeMap<String, u32>) {
    for source in [Source::Store, Source::Wire, Source::Watch] {
        fate.make_rarer(source, [1, 1, 2, 4][fate.below(Source::Shape, 4) as usize]);
    }
    // The elected: all of them at once, which is the worst that an election can do.
    let tenure = match fate.below(Source::Shape, 4) {
        3 => Tenure::Exclusive,
        2 => Tenure::Elected,
        _ => Tenure::Contended,
    };
    let mut world = World::new(fate.clone(), drawn(&fate, "order-1"), tenure, weakness);
    world.start();
    if tenure != Tenure::Exclusive {
        for _ in 0..fate.below(Source::Shape, 3) {
            world.start();
        }
    }
    let mut uids: Vec<String> = (0..=fate.below(Source::Shape, 2)).map(|run| format!("run-{run}")).collect();
    uids.iter().for_each(|uid| people::submit(&world, uid));
    for _ in 0..fate.below(Source::People, 16) {
        tokio::time::sleep(fate.millis(Source::People, 4000)).await;
        people::act(&mut world, &mut uids).await;
    }
    fate.calm_down();
    if fate.below(Source::People, 2) == 1 {
        uids.iter().for_each(|uid| world.wish(uid, 5));
    }
    for _ in 0..=fate.below(Source::People, 6) {
        if !world.settle(Duration::from_secs(10_000)).await {
            break;
        }
        uids.iter().for_each(|uid| people::resolve(&world, uid));
    }
    world.settle(Duration::from_secs(10_000)).await;
    // Whoever still has something to send does so now.
    tokio::time::sleep(Duration::from_secs(100)).await;
    let mut broken = oracle::judge(&world);
    for running in &world.processes {
        running.drain.cancel();
        if tokio::time::timeout(Duration::from_secs(60), running.fleet.idle()).await.is_err() {
            broken.push(format!("{} does not end", running.process.name));
        }
    }
    (broken, ends(&world))
}

fn ends(world: &World) -> BTreeMap<String, u32> {
    let mut ends = BTreeMap::new();
    for uid in world.store.uids() {
        let removed = world.store.with(&uid, |run| run.is_none());
        let end = world.store.with_history(&uid, |history| {
            let Some(last) = history.last().map(|write| &write.stored) else { return "never begun".to_owned() };
            match (last.end, last.stalled()) {
                (Some(end), _) => format!("{end:?}"),
                (None, Some((_, call))) => format!("Stalled {}", call.reason.map_or("", |reason| reason.as_str())),
                (None, None) if removed => "removed".to_owned(),
                (None, None) => "Suspended".to_owned(),
            }
        });
        *ends.entry(end).or_default() += 1;
    }
    ends
}

thread_local! {
    /// What panicked in this thread's life.
    static HEARD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// A panic of the engine is caught by the engine, and the run is taken up again: here it counts as a broken promise. What
/// chance lets panic does so without a word ([`std::panic::resume_unwind`]).
fn hear_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let heard = HEARD.try_with(|heard| match heard.borrow_mut().as_mut() {
                Some(heard) => {
                    heard.push(format!("panic: {info}"));
                    true
                }
                None => false,
            });
            if !heard.unwrap_or(false) {
                before(info);
            }
        }));
    });
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("of another kind"))
}
