//! What happens to runs, one line each, live: readable on a terminal, plain when piped.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anstyle::{AnsiColor, Style};

use crate::engine::Witness;
use crate::saga::{Identity, Level, Note, Occasion, Stored};

/// Prints notes to standard output with the seconds since it was made.
pub(super) struct Timeline {
    start: Instant,
    indent: &'static str,
    /// One line at a time, whole.
    turn: Mutex<()>,
}

impl Timeline {
    pub(super) fn new(indent: &'static str) -> Self {
        Self { start: Instant::now(), indent, turn: Mutex::default() }
    }

    /// Prints a line of its own.
    pub(super) fn say(&self, run: &str, word: &str, style: Style, text: &str) {
        let seconds = self.start.elapsed().as_secs_f64();
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = anstream::stdout().lock();
        let line = writeln!(out, "{}{seconds:>7.3}s  {run}  {style}{word:<15}{style:#} {text}", self.indent);
        // Who reads may have gone, as `head` does: the sagas go on all the same.
        drop(line.and_then(|()| out.flush()));
    }
}

/// The colour of what happened: red for what needs a person, yellow for what did not go as defined.
pub(super) fn style(note: &Note) -> Style {
    let colour = match note.occasion {
        Occasion::Succeeded | Occasion::StepSucceeded | Occasion::StepConfirmed => AnsiColor::Green,
        Occasion::StepCompensated | Occasion::Compensated | Occasion::Compensating | Occasion::CompensatedByHand => {
            AnsiColor::Cyan
        }
        Occasion::Intervened => AnsiColor::Magenta,
        Occasion::Stalled | Occasion::Abandoned => AnsiColor::Red,
        _ if note.level == Level::Warning => AnsiColor::Yellow,
        _ => AnsiColor::White,
    };
    colour.on_default()
}

impl Witness for Timeline {
    fn noted(&self, run: &Identity, note: &Note) {
        if note.level > Level::Trace {
            self.say(&run.name, note.occasion.as_str(), style(note), &note.text);
        }
    }

    fn stored(&self, _run: &Identity, _stored: &Stored) {}
}

/// Prints a line; who reads may have gone.
pub(super) fn line(text: &str) {
    drop(writeln!(anstream::stdout(), "{text}").and_then(|()| io::stdout().flush()));
}

/// Says something on standard error; who reads may have gone, and `eprintln!` would panic then.
pub(super) fn complain(text: &str) {
    drop(writeln!(anstream::stderr(), "{text}"));
}
