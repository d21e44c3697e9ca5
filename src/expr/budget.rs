//! How much one rendering may still do.

use crate::expr::error::Fault;
use crate::expr::limit;

/// The work left. One unit is about one visited node or eight bytes of text touched.
pub(super) struct Budget(u64);

impl Budget {
    /// The budget of one rendering.
    pub(super) fn new() -> Self {
        Budget(limit::WORK)
    }

    /// Takes `units` of work.
    pub(super) fn spend(&mut self, units: usize) -> Result<(), Fault> {
        match self.0.checked_sub(units as u64) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(Fault::TooLarge { what: "the work of one rendering", limit: limit::WORK })
            }
        }
    }

    /// Takes the work of touching `bytes` of text.
    pub(super) fn spend_bytes(&mut self, bytes: usize) -> Result<(), Fault> {
        self.spend(bytes / 8 + 1)
    }

    /// Takes the work of making a text of `bytes`, which must not be too long.
    pub(super) fn spend_text(&mut self, bytes: usize) -> Result<(), Fault> {
        text_length(bytes)?;
        self.spend_bytes(bytes)
    }
}

/// Refuses a text of more than [`limit::TEXT_BYTES`].
pub(super) fn text_length(bytes: usize) -> Result<(), Fault> {
    if bytes > limit::TEXT_BYTES {
        return Err(Fault::TooLarge { what: "the length of a text in bytes", limit: limit::TEXT_BYTES as u64 });
    }
    Ok(())
}
