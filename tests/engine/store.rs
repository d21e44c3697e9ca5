//! The store, and what goes wrong with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use saga_operator::journal::Loaded;
use saga_operator::journal::memory::{Fault, Faults, MemoryJournal, Operation};
use saga_operator::saga::{CallRecord, Identity, Open, Phase, Stored};
use tokio::sync::{Notify, mpsc::UnboundedSender};

use super::fate::{Fate, Source, lock};

pub type Store = MemoryJournal<Hooks>;
pub type News = (Arc<Identity>, Option<Arc<Loaded>>);

/// What goes wrong, and who watches.
pub struct Hooks {
    pub fate: Arc<Fate>,
    /// Faults that come first, in this order, whatever chance says: (operation, fault, how long it takes).
    pub script: Mutex<Vec<(&'static str, Fault, Duration)>>,
    pub watchers: Mutex<Vec<UnboundedSender<News>>>,
    pub operations: Mutex<BTreeMap<&'static str, u32>>,
    pub changed: Notify,
    /// Writes may land although their writer is long told otherwise, or dead.
    pub late_writes: bool,
}

impl Hooks {
    pub fn new(fate: Arc<Fate>, late_writes: bool) -> Self {
        Self {
            fate,
            script: Mutex::default(),
            watchers: Mutex::default(),
            operations: Mutex::default(),
            changed: Notify::new(),
            late_writes,
        }
    }

    pub fn count(&self, operation: &str) -> u32 {
        lock(&self.operations).get(operation).copied().unwrap_or_default()
    }

    /// What chance has for an operation.
    fn mishap(&self, name: &'static str) -> (Fault, u32) {
        let fate = &self.fate;
        let fault = match fate.mishap(Source::Store, 18) {
            1 => Fault::Unavailable,
            2 => Fault::Overtaken,
            3 => Fault::Unclear,
            4 => Fault::UnclearLost,
            5 if self.late_writes => Fault::UnclearLate(fate.millis(Source::Store, 3000)),
            6 if name == "persist" && fate.below(Source::Store, 6) == 1 => Fault::TooLarge,
            _ => Fault::None,
        };
        if fault != Fault::None {
            fate.fault(word(fault), || format!("the next {name}"));
        }
        let slow = fate.mishap(Source::Store, 10) == 1;
        if slow {
            fate.fault("slow store", || format!("the next {name}"));
        }
        (fault, if slow { 9000 } else { 30 })
    }
}

fn word(fault: Fault) -> &'static str {
    match fault {
        Fault::None => "no fault",
        Fault::Unavailable => "store unavailable",
        Fault::Overtaken => "metadata changed a moment before",
        Fault::Unclear => "done and unheard",
        Fault::UnclearLost => "lost and unheard",
        Fault::UnclearLate(_) => "unheard and done later",
        Fault::TooLarge => "refused as too large",
    }
}

fn name(operation: Operation<'_>) -> &'static str {
    match operation {
        Operation::Load => "load",
        Operation::Retain => "retain",
        Operation::Persist(_) => "persist",
        Operation::Release => "release",
    }
}

impl Faults for Hooks {
    fn fault(&self, _run: &Identity, operation: Operation<'_>) -> (Duration, Fault, Duration) {
        let name = name(operation);
        *lock(&self.operations).entry(name).or_default() += 1;
        let mut script = lock(&self.script);
        if let Some(place) = script.iter().position(|(which, ..)| *which == name) {
            let (_, fault, takes) = script.remove(place);
            return (takes, fault, Duration::ZERO);
        }
        let (fault, slow) = self.mishap(name);
        (self.fate.millis(Source::Store, slow), fault, self.fate.millis(Source::Store, slow))
    }

    fn changed(&self, run: &Identity, now: Option<&Loaded>) {
        self.fate.tell(|| match now {
            Some(now) => format!("-- {} is at version {}: {}", run.uid, now.version, told(&now.stored)),
            None => format!("-- {} is gone", run.uid),
        });
        let news = (now.map_or_else(|| Arc::new(run.clone()), |now| now.run.clone()), now.cloned().map(Arc::new));
        lock(&self.watchers).retain(|watcher| watcher.send(news.clone()).is_ok());
        self.changed.notify_waiters();
    }
}

/// What is stored, in a line.
pub fn told(stored: &Stored) -> String {
    let holder = stored.holder.as_ref().map_or("nobody", |holder| holder.as_str());
    let steps: Vec<String> = stored
        .steps
        .iter()
        .map(|step| {
            let undo = step.compensation.as_ref().map(|call| format!(" undo {}", call_told(call)));
            let confirm = step.confirm.as_ref().map(|call| format!(" confirm {}", call_told(call)));
            let (forward, undo) = (call_told(&step.forward), undo.or(confirm).unwrap_or_default());
            format!("{} {forward}{undo}", step.name)
        })
        .collect();
    let turned = stored.failure.as_ref().map(|failure| format!(" turned ({})", failure.reason));
    let end = stored.end.map(|end| format!(" ended {end:?}"));
    format!(
        "fence {} of {holder}{}{} [{}]",
        stored.fence,
        turned.unwrap_or_default(),
        end.unwrap_or_default(),
        steps.join(", ")
    )
}

fn call_told(call: &CallRecord) -> String {
    let doubt = if call.doubtful > 0 { format!(" ({} in doubt)", call.doubtful) } else { String::new() };
    let open = |open: &Open| format!(" fence {}{}", open.fence, open.location.as_ref().map_or("", |_| " located"));
    let fence = call.open.as_ref().map(open).unwrap_or_default();
    match call.phase {
        Phase::Pending => format!("-{doubt}"),
        phase => format!("{phase:?} #{}{fence}{doubt}", call.attempts),
    }
}
