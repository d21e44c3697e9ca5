//! What happened and why, in words: written once, shown as log line, Kubernetes Event, timeline and golden story.

use std::fmt;

/// One thing that happened to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Who needs to hear it.
    pub level: Level,
    /// As a word: the reason of the Event.
    pub occasion: Occasion,
    /// A sentence for a reader at 3 a.m.; names the step; never holds bodies, header values or Secrets.
    pub text: String,
}

/// Who needs to hear a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Readers of the log at debug level: nothing went differently for it.
    Trace,
    /// Readers of the log.
    Detail,
    /// Readers of the run's Events as well.
    Story,
    /// Something did not go as defined.
    Warning,
}

macro_rules! occasions {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What kind of thing happened. The reasons of our Kubernetes Events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Occasion { $($(#[$doc])* $name),+ }

        impl Occasion {
            /// All occasions.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

occasions! {
    /// The first intents are decided.
    Started,
    /// The run cannot start yet.
    WaitingToStart,
    /// An action succeeded.
    StepSucceeded,
    /// A step's `when` was false.
    StepSkipped,
    /// An attempt got no final answer; another will follow.
    AttemptFailed,
    /// An action is closed without success.
    StepFailed,
    /// The run turned.
    Compensating,
    /// A compensation succeeded.
    StepCompensated,
    /// A confirm succeeded.
    StepConfirmed,
    /// A participant works on a call and said where to ask.
    InProgress,
    /// Every step is done: nothing can fail any more.
    Confirming,
    /// A person's decision took effect.
    Intervened,
    /// A person's decision did not fit what it found.
    InterventionRefused,
    /// An output could not be taken, past the point where that turns the run.
    OutputLeftOut,
    /// A wish came too late to be followed.
    TooLate,
    /// A call needs a person.
    Stalled,
    /// Nothing new is sent.
    Suspended,
    /// Sending goes on.
    Resumed,
    /// This process took the run from another owner.
    TakenOver,
    /// An event came too late to matter.
    Ignored,
    /// The revision of the definition was replaced before anything was sent, or cannot be found.
    RevisionGone,
    /// The store refused the size of the status.
    TooLarge,
    /// The run ended: Succeeded.
    Succeeded,
    /// The run ended: Compensated.
    Compensated,
    /// The run ended: CompensatedByHand.
    CompensatedByHand,
    /// The run ended: Abandoned.
    Abandoned,
    /// The run ended before anything was sent.
    Refused,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.occasion.as_str(), self.text)
    }
}
