//! What a participant does with a request.

use std::time::Duration;

use saga_operator::api::run::Direction;
use saga_operator::saga::Intent;

use super::fate::{Fate, Source};
use super::services::line;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Does it and says so.
    Does,
    /// Takes it in, and does it after a while, or refuses it then.
    Accepts { work: Duration, refuses: bool, retry_after: Option<Duration> },
    /// Refuses for good, without effect.
    Refuses(u16),
    /// Has no time now, without effect.
    Declines(u16, Option<Duration>),
    /// Breaks before the effect.
    Breaks(Option<Duration>),
    /// Breaks after the effect.
    DoesAndBreaks,
    /// Does it, and says something that the operator cannot use.
    DoesAndSays(u16),
    /// Does it, and answers without what the definition wants to pick.
    DoesWithoutOutput,
}

impl Manner {
    /// As chance has it: mostly it does it. What a participant may answer to an action it may not always answer to an
    /// undo: that is never refused for good.
    pub fn drawn(fate: &Fate, intent: &Intent) -> Self {
        let forward = intent.call.direction == Direction::Forward;
        let undo = intent.call.direction == Direction::Compensate;
        let later = || Some(fate.millis(Source::Wire, 8000));
        let manner = match fate.mishap(Source::Wire, 24) {
            1 => Self::Breaks(None),
            2 => Self::Declines(429, None),
            3 => Self::Declines(409, None),
            4 | 5 if !undo => return Self::Refuses(422),
            6 | 7 => Self::DoesAndBreaks,
            8 => Self::Breaks(later()),
            9 => Self::Declines(409, later()),
            10 => Self::Declines(429, later()),
            11 if forward => return Self::Refuses(410),
            11 if undo => Self::DoesAndSays(410),
            12 => Self::DoesAndSays(302),
            13 if forward => Self::DoesWithoutOutput,
            14 => Self::DoesAndSays(202),
            15 => Self::Declines(408, None),
            16..=18 => return Self::accepts(fate, undo),
            _ => return Self::Does,
        };
        fate.fault(manner.word(), || line(intent));
        manner
    }

    fn accepts(fate: &Fate, undo: bool) -> Self {
        Self::Accepts {
            work: fate.millis(Source::Wire, 30_000),
            refuses: fate.below(Source::Wire, 4) == 3 && !undo,
            retry_after: (fate.below(Source::Wire, 2) == 1).then(|| fate.millis(Source::Wire, 8000)),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Does | Self::Accepts { .. } => "done",
            Self::Refuses(_) => "refused",
            Self::Declines(..) => "participant has no time",
            Self::Breaks(_) => "participant breaks before the effect",
            Self::DoesAndBreaks => "participant breaks after the effect",
            Self::DoesAndSays(_) => "participant does it and says something else",
            Self::DoesWithoutOutput => "participant answers without the output",
        }
    }
}
