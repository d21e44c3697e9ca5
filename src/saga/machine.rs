//! `step`: the whole of a run's behaviour, as one total function.
//!
//! # Flow
//! The events are taken in one after the other, then everything that is due is begun once, then the conditions are
//! computed. What comes out is a state to store, effects to perform *after* it is stored (withdrawals: before), the time
//! to come back, and notes.
//!
//! # Guarantees
//! No I/O, no clock, no randomness: the same arguments give the same transition. Every pair of mode and event has an arm.
//!
//! # Assumptions
//! The caller stores `state` before it performs an effect, drops the transition when that fails, and tells the state with
//! [`State::landed`], [`State::sent`] and [`State::not_landed`] what became of it.

use super::effect::Effect;
use super::event::Event;
use super::mode::Mode;
use super::note::{Level, Note, Occasion};
use super::plan::Plan;
use super::state::State;
use super::time::{Monotonic, Now};
use super::turn::Turn;

/// What `step` decided.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The state from now on, once it is stored.
    pub state: State,
    /// The journal must store `state.stored` before anything else happens.
    pub changed: bool,
    /// To be performed in this order.
    pub effects: Vec<Effect>,
    /// Come back then, even if nothing happens.
    pub wake_at: Option<Monotonic>,
    /// What happened and why.
    pub notes: Vec<Note>,
}

/// Decides what a run does next.
pub fn step(plan: &Plan, state: &State, events: &[Event], now: Now) -> Transition {
    let mut turn = Turn::new(plan, state, now);
    for event in events {
        absorb(&mut turn, event);
    }
    turn.advance();
    turn.finish()
}

fn absorb(turn: &mut Turn<'_>, event: &Event) {
    match (turn.mode(), event) {
        // What users wish is remembered in every mode; `advance` acts on it.
        (
            Mode::Pending | Mode::Forward | Mode::Confirming | Mode::Compensating | Mode::Ended,
            Event::Wished(wishes),
        ) => turn.wished(wishes),
        // Time is read by `advance`.
        (Mode::Pending | Mode::Forward | Mode::Confirming | Mode::Compensating | Mode::Ended, Event::Tick) => {}
        (Mode::Forward | Mode::Confirming | Mode::Compensating, Event::Answered { call, fence, answer }) => {
            turn.answered(*call, *fence, answer);
        }
        (Mode::Forward | Mode::Confirming | Mode::Compensating, Event::Polled { call, fence, answer }) => {
            turn.polled(*call, *fence, answer);
        }
        (Mode::Ended, Event::Answered { call, .. } | Event::Polled { call, .. }) => {
            turn.note(Level::Trace, Occasion::Ignored, format!("{} answered after the end", turn.describe(*call)));
        }
        (Mode::Pending, Event::Answered { call, .. } | Event::Polled { call, .. }) => turn.note(
            Level::Trace,
            Occasion::Ignored,
            format!("an answer arrived for step {} of a run that never sent anything", call.step),
        ),
        (Mode::Forward, Event::RevisionGone) => turn.repin(),
        (Mode::Pending | Mode::Confirming | Mode::Compensating | Mode::Ended, Event::RevisionGone) => turn.note(
            Level::Trace,
            Occasion::Ignored,
            "the revision went away, which matters only between pinning it and the first call".to_owned(),
        ),
        (Mode::Pending | Mode::Forward | Mode::Confirming | Mode::Compensating, Event::TooLarge) => {
            turn.too_large = true;
        }
        (Mode::Ended, Event::TooLarge) => {
            turn.note(Level::Warning, Occasion::TooLarge, "the ended run stays as it is stored".to_owned());
        }
    }
}
