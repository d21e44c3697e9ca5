//! Breadth first through everything that can happen, by the number of faults: first all that happens without a fault,
//! then with one, and so on. So a broken promise is found by the fewest faults, and the fewest moves among those.
//!
//! # Guarantees
//! A level that was finished is complete: every world that so many faults can lead to was visited. From every world
//! visited, a continuation without faults was followed until nothing more happened (L1).

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::fingerprint::fingerprint;
use super::promise;
use super::scenario::{Scenario, Setup};
use super::service::Anomaly;
use super::world::{Broken, Move, World};

/// What was found.
pub struct Found {
    pub name: &'static str,
    /// Worlds visited, no two alike.
    pub states: usize,
    transitions: u64,
    /// Moves to the farthest world.
    depth: u32,
    /// All worlds that so many faults lead to were visited.
    complete: Option<u32>,
    /// Looks for promises: at worlds, and along continuations without faults.
    checks: u64,
    /// Everything was visited.
    exhausted: bool,
    anomalies: BTreeSet<Anomaly>,
    expected: BTreeSet<Anomaly>,
    /// With the shortest way there, in words.
    violation: Option<String>,
}

impl Found {
    /// What was found, in a line.
    pub fn line(&self) -> String {
        let faults = match self.complete {
            None => "a part of what happens without faults".to_owned(),
            Some(_) if self.exhausted => "everything".to_owned(),
            Some(faults) => format!("everything with at most {faults} faults, more in part"),
        };
        let Self { name, states, transitions, depth, checks, anomalies, .. } = self;
        let violations = usize::from(self.violation.is_some());
        format!(
            "{name}: {states} states, {transitions} transitions, depth {depth}, {faults}; \
             {checks} checks of {PROMISES}, {violations} violations; anomalies {anomalies:?}"
        )
    }

    /// What must not be, in words.
    pub fn broken(&self) -> Option<String> {
        let unexpected = (self.anomalies != self.expected)
            .then(|| format!("anomalies {:?}, where the table says {:?}", self.anomalies, self.expected));
        let why = self.violation.clone().or(unexpected)?;
        Some(format!("{}: {why}", self.name))
    }
}

const PROMISES: &str = "I1 to I8 and L1";

/// Fingerprints are random already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are numbers")
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// How a world was first reached.
#[derive(Clone, Copy)]
struct Way {
    /// The world before it.
    from: u64,
    /// By so many faults.
    spent: u32,
}

/// A world that was not visited yet.
struct Waiting {
    world: World,
    mark: u64,
    depth: u32,
}

type Map = HashMap<u64, Way, BuildHasherDefault<Same>>;
type Set = HashSet<u64, BuildHasherDefault<Same>>;

struct Search {
    /// Every world that was seen, and the one before it.
    seen: Map,
    /// Worlds whose continuation without faults is known to end well.
    calm: Set,
    found: Found,
    setup: Arc<Setup>,
    /// Worlds to visit.
    states: usize,
    /// Worlds of the next level were left out, because they would not be visited.
    cut_short: bool,
}

/// Explores a scenario until so many worlds were visited, but at least all that happens without a fault.
pub fn explore(scenario: Scenario, states: usize) -> Found {
    let found = Found {
        name: scenario.name,
        states: 0,
        transitions: 0,
        depth: 0,
        complete: None,
        checks: 0,
        exhausted: false,
        anomalies: BTreeSet::new(),
        expected: scenario.anomalies.iter().copied().collect(),
        violation: None,
    };
    let setup = Arc::new(Setup::new(scenario));
    let (seen, calm) = (Map::default(), Set::default());
    let mut search = Search { seen, calm, found, setup, states, cut_short: false };
    if let Err(broken) = search.levels() {
        search.found.violation = Some(broken);
    }
    search.found
}

impl Search {
    fn levels(&mut self) -> Result<(), Broken> {
        let first = World::new(self.setup.clone());
        let mark = fingerprint(&first);
        self.seen.insert(mark, Way { from: mark, spent: 0 });
        let mut level = VecDeque::from([Waiting { world: first, mark, depth: 0 }]);
        let mut spent = 0;
        while !level.is_empty() {
            let short = self.cut_short;
            let mut next = VecDeque::new();
            while let Some(waiting) = level.pop_front() {
                if self.found.states >= self.states && spent > 0 {
                    return Ok(());
                }
                // Else it was visited meanwhile, after fewer faults.
                if self.seen[&waiting.mark].spent == spent {
                    self.visit(&waiting, spent, &mut level, &mut next)?;
                }
            }
            if short {
                return Ok(());
            }
            self.found.complete = Some(spent);
            level = next;
            spent += 1;
        }
        self.found.exhausted = true;
        Ok(())
    }

    fn visit(
        &mut self,
        waiting: &Waiting,
        spent: u32,
        level: &mut VecDeque<Waiting>,
        next: &mut VecDeque<Waiting>,
    ) -> Result<(), Broken> {
        let Waiting { world, mark: here, depth } = waiting;
        let (here, depth) = (*here, depth + 1);
        self.found.states += 1;
        self.found.depth = self.found.depth.max(depth);
        for service in world.services.iter() {
            self.found.anomalies.extend(&service.anomalies);
        }
        self.found.checks += 1;
        world.check().map_err(|broken| self.tell(here, None, &broken))?;
        self.calm(world, here).map_err(|(moves, broken)| self.tell(here, Some(&moves), &broken))?;
        for (step, cost) in world.moves() {
            self.found.transitions += 1;
            let after = attempt(world, step).map_err(|broken| self.tell(here, Some(&[step]), &broken))?;
            let mark = fingerprint(&after);
            let way = Way { from: here, spent: spent + cost };
            if cost > 0 && next.len() >= self.states.saturating_sub(self.found.states).max(1) {
                self.cut_short = true;
            } else if self.seen.get(&mark).is_none_or(|known| known.spent > way.spent) {
                self.seen.insert(mark, way);
                let queue = if cost == 0 { &mut *level } else { &mut *next };
                queue.push_back(Waiting { world: after, mark, depth });
            }
        }
        Ok(())
    }

    /// Follows what happens when nothing goes wrong any more.
    fn calm(&mut self, world: &World, mark: u64) -> Result<(), (Vec<Move>, Broken)> {
        let (mut moves, mut marks, mut mark) = (Vec::new(), Vec::new(), mark);
        let mut now = Cow::Borrowed(world);
        loop {
            if self.calm.contains(&mark) {
                break;
            }
            if marks.contains(&mark) {
                return Err((moves, "L1: the run goes round in circles".to_owned()));
            }
            marks.push(mark);
            self.found.checks += 1;
            let Some(step) = calm_move(&now) else {
                promise::at_the_end(&now).map_err(|broken| (moves, broken))?;
                break;
            };
            moves.push(step);
            let after = attempt(&now, step).map_err(|broken| (moves.clone(), broken))?;
            mark = fingerprint(&after);
            now = Cow::Owned(after);
        }
        self.calm.extend(marks);
        Ok(())
    }

    /// The way to a world, and some moves more, in words.
    fn tell(&self, mark: u64, more: Option<&[Move]>, broken: &str) -> String {
        let mut marks = vec![mark];
        while let Some(way) = self.seen.get(&marks[marks.len() - 1]).filter(|way| way.from != marks[marks.len() - 1]) {
            marks.push(way.from);
        }
        let mut world = World::new(self.setup.clone());
        world.story = Some(Vec::new());
        for mark in marks.iter().rev().skip(1) {
            let found = world.moves().into_iter().find_map(|(step, cost)| {
                let after = world.after(step).ok()?;
                (fingerprint(&after) == *mark).then_some((after, cost))
            });
            let Some((after, cost)) = found else { return format!("{broken}\n(no way back to it was found)") };
            world = after;
            if cost > 0
                && let Some(line) = world.story.as_mut().and_then(|story| story.last_mut())
            {
                line.push_str("   <-- fault");
            }
        }
        for step in more.into_iter().flatten() {
            match attempt(&world, *step) {
                Ok(after) => world = after,
                Err(_) => world.tell(|_| format!("{step:?}")),
            }
        }
        format!("{broken}\n{}", world.story.unwrap_or_default().join("\n"))
    }
}

/// A panic of the core is a broken promise, too: `step` is total.
fn attempt(world: &World, step: Move) -> Result<World, Broken> {
    catch_unwind(AssertUnwindSafe(|| world.after(step))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// What happens next when nothing goes wrong; what was held up arrives first.
fn calm_move(world: &World) -> Option<Move> {
    let rank = |step: &Move| match step {
        Move::Resume(_) | Move::Finish(_) => Some(0),
        Move::LateLands(_) => Some(1),
        Move::Serve(_, super::world::Luck::Well) => Some(2),
        Move::Reach(_, super::store::Fate::Plain) | Move::Look(_, _, super::world::Luck::Well) => Some(3),
        Move::Leave(..) => Some(4),
        Move::Act(_) => Some(5),
        Move::Notice(_) => Some(6),
        Move::Advance => Some(7),
        Move::Serve(..)
        | Move::Reach(..)
        | Move::NoticeStale(_)
        | Move::Look(..)
        | Move::Delay(_)
        | Move::Crash(_)
        | Move::CrashWriting(_)
        | Move::Pause(_)
        | Move::Wish(_)
        | Move::Jump(_) => None,
    };
    let moves = world.moves();
    let best = moves.iter().filter_map(|(step, _)| Some((rank(step)?, *step)));
    best.min_by_key(|(rank, _)| *rank).map(|(_, step)| step)
}
