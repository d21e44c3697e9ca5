//! A store with compare-and-swap whose answers may be missing, and whose copies may be old.

use std::sync::Arc;

use saga_operator::saga::{Intent, Stored, Wishes, invariant};

use super::process::{Decided, Word, Writing};
use super::promise;
use super::scenario::Wish;
use super::world::{Broken, World};

/// One run, as it is stored.
#[derive(Clone)]
pub struct Store {
    pub version: u32,
    pub stored: Arc<Stored>,
    pub wishes: Arc<Wishes>,
    /// What a cache may still show.
    pub previous: Option<(u32, Arc<Stored>)>,
    /// Writes that their writers gave up, and that may land as long as nothing else does.
    pub late: Vec<Late>,
    /// When the write landed that last changed the holder, in milliseconds.
    pub taken_at: Option<u64>,
}

/// A write under way that nobody waits for.
#[derive(Clone)]
pub struct Late {
    pub place: usize,
    pub life: u32,
    pub decided: Arc<Decided>,
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It lands if nothing overtook it, and its writer hears which.
    Plain,
    /// As `Plain`, and nobody answers.
    UnclearLanded,
    /// It does not arrive, and nobody answers.
    UnclearLost,
    /// Nobody answers, and it arrives later.
    UnclearLate,
    /// The size is refused.
    TooLarge,
}

impl Store {
    pub fn new() -> Self {
        Self {
            version: 1,
            stored: Arc::new(Stored::from_status(None).unwrap()),
            wishes: Arc::new(Wishes { generation: 1, ..Wishes::default() }),
            previous: None,
            late: Vec::new(),
            taken_at: None,
        }
    }

    /// Whether a wish makes a difference and the API server would take it.
    pub fn may(&self, wish: Wish) -> bool {
        match wish {
            Wish::Suspend => !self.wishes.suspend,
            Wish::Resume => self.wishes.suspend,
            Wish::Cancel => self.wishes.cancellation.is_none(),
            Wish::Abandon => !self.wishes.abandon(),
            Wish::Delete => self.wishes.deletion.is_none(),
            Wish::Person(_) => self.stored.stalled().is_some() && self.wishes.interventions.len() < 2,
        }
    }

    pub fn wish(&mut self, change: impl FnOnce(&mut Wishes)) {
        let wishes = Arc::make_mut(&mut self.wishes);
        change(wishes);
        wishes.generation += 1;
        self.renew(self.stored.clone());
    }

    fn renew(&mut self, stored: Arc<Stored>) {
        self.previous = Some((self.version, std::mem::replace(&mut self.stored, stored)));
        self.version += 1;
        // Whatever was written against an older version is refused when it arrives.
        self.late.clear();
    }
}

impl World {
    /// A write arrives at the store.
    pub fn reach(&mut self, place: usize, fate: Fate) -> Result<(), Broken> {
        let Writing::Sent(decided) = self.processes[place].writing.clone() else {
            return Err("the model: nothing was written".to_owned());
        };
        let (version, fence) = (self.processes[place].version, decided.turn.state.stored.fence);
        self.tell(|world| {
            format!("the write of {} with fence {fence} reaches the store ({fate:?})", world.name(place))
        });
        let fits = version == self.store.version;
        let word = match fate {
            Fate::Plain if fits => {
                self.land(place, &decided)?;
                Word::Landed(self.store.version)
            }
            Fate::Plain => Word::Conflict,
            Fate::UnclearLanded => {
                if fits {
                    self.land(place, &decided)?;
                }
                Word::Unclear
            }
            Fate::UnclearLost => Word::Unclear,
            Fate::UnclearLate => {
                if fits {
                    self.give_up_write(place);
                }
                Word::Unclear
            }
            Fate::TooLarge => Word::TooLarge,
        };
        self.process(place).writing = Writing::Answered(decided, word);
        Ok(())
    }

    /// Nobody waits any more for the write under way of the process at a place.
    pub fn give_up_write(&mut self, place: usize) {
        if let Writing::Sent(decided) = &self.processes[place].writing {
            let late = Late { place, life: self.processes[place].life, decided: decided.clone() };
            self.store.late.push(late);
        }
    }

    /// A write that was given up lands after all.
    pub fn late_lands(&mut self, index: usize) -> Result<(), Broken> {
        let late = self.store.late.remove(index);
        let fence = late.decided.turn.state.stored.fence;
        self.tell(|_| format!("the late write with fence {fence} lands"));
        if self.processes[late.place].life == late.life {
            self.land(late.place, &late.decided)
        } else {
            self.put(&late.decided)
        }
    }

    fn land(&mut self, place: usize, decided: &Decided) -> Result<(), Broken> {
        self.put(decided)?;
        self.ledger.stored(place, decided.intents());
        Ok(())
    }

    fn put(&mut self, decided: &Decided) -> Result<(), Broken> {
        let (before, after) = (self.store.stored.clone(), &decided.turn.state.stored);
        let intents: Vec<&Arc<Intent>> = decided.intents().collect();
        invariant::check(&before, after)?;
        let taken = before.holder.is_some() && before.holder != after.holder;
        let taken_at = if taken { Some(self.clock) } else { self.store.taken_at };
        promise::at_a_write(self, &before, after, &intents, taken_at)?;
        let read = Stored::from_status(Some(&after.to_status())).map_err(|error| error.to_string())?;
        if read != *after {
            return Err(format!("the status does not hold all that is stored: {after:#?}\nread: {read:#?}"));
        }
        self.store.taken_at = taken_at;
        self.store.renew(Arc::new(read));
        self.ledger.requests(&intents)
    }
}
