//! Who is told what happened.

use crate::saga::{Identity, Level, Note, Stored};

/// Hears of every stored decision, after it was stored. Must not block.
pub trait Witness: Send + Sync + 'static {
    /// Something happened, and why.
    fn noted(&self, run: &Identity, note: &Note);

    /// A decision was stored.
    fn stored(&self, run: &Identity, stored: &Stored);
}

/// Writes notes to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogWitness;

impl Witness for LogWitness {
    fn noted(&self, run: &Identity, note: &Note) {
        let (namespace, name, uid) = (run.namespace.as_str(), run.name.as_str(), run.uid.as_str());
        let occasion = note.occasion.as_str();
        match note.level {
            Level::Trace => tracing::debug!(namespace, run = name, uid, occasion, "{}", note.text),
            Level::Detail | Level::Story => tracing::info!(namespace, run = name, uid, occasion, "{}", note.text),
            Level::Warning => tracing::warn!(namespace, run = name, uid, occasion, "{}", note.text),
        }
    }

    fn stored(&self, _run: &Identity, _stored: &Stored) {}
}

impl<A: Witness, B: Witness> Witness for (A, B) {
    fn noted(&self, run: &Identity, note: &Note) {
        self.0.noted(run, note);
        self.1.noted(run, note);
    }

    fn stored(&self, run: &Identity, stored: &Stored) {
        self.0.stored(run, stored);
        self.1.stored(run, stored);
    }
}

impl<W: Witness> Witness for std::sync::Arc<W> {
    fn noted(&self, run: &Identity, note: &Note) {
        (**self).noted(run, note);
    }

    fn stored(&self, run: &Identity, stored: &Stored) {
        (**self).stored(run, stored);
    }
}
