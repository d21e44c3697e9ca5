//! How much one rendering may still do.

use crate::expr::error::Fault;
use crate::expr::limit;

/// What is left of work and of output. One unit of work is about one visited node or eight bytes of text touched.
pub(super) struct Budget {
    work: u64,
    output: usize,
}

impl Budget {
    /// The budget of one rendering.
    pub(super) fn new() -> Self {
        Budget { work: limit::WORK, output: limit::TEXT_BYTES }
    }

    /// Takes `units` of work.
    pub(super) fn spend(&mut self, units: usize) -> Result<(), Fault> {
        match self.work.checked_sub(units as u64) {
            Some(left) => {
                self.work = left;
                Ok(())
            }
            None => {
                self.work = 0;
                Err(Fault::TooLarge { what: "the work of one rendering", limit: limit::WORK })
            }
        }
    }

    /// Takes the work of touching `bytes` of text.
    pub(super) fn spend_bytes(&mut self, bytes: usize) -> Result<(), Fault> {
        self.spend(bytes / 8 + 1)
    }

    /// Takes `bytes` of the result.
    pub(super) fn spend_output(&mut self, bytes: usize) -> Result<(), Fault> {
        self.spend_bytes(bytes)?;
        self.output = self
            .output
            .checked_sub(bytes)
            .ok_or(Fault::TooLarge { what: "the size of a result in bytes", limit: limit::TEXT_BYTES as u64 })?;
        Ok(())
    }

    /// Takes the work of making a text of `bytes`, which must not be too long.
    pub(super) fn spend_text(&mut self, bytes: usize) -> Result<(), Fault> {
        self.check_text(bytes)?;
        self.spend_bytes(bytes)
    }

    /// Refuses a text of more than [`limit::TEXT_BYTES`].
    pub(super) fn check_text(&self, bytes: usize) -> Result<(), Fault> {
        if bytes > limit::TEXT_BYTES {
            return Err(Fault::TooLarge { what: "the length of a text in bytes", limit: limit::TEXT_BYTES as u64 });
        }
        Ok(())
    }
}
