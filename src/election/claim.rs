//! A claim to leadership, read where it is used.
//!
//! # Guarantees
//! A claim needs nobody to tell it that its time is up: it reads the clock. So it ends in time also when the task that
//! renews it hangs or is gone.

use tokio::sync::watch;

use super::leadership::Leadership;
use crate::clock::Clock;
use crate::saga::Monotonic;

/// What one candidacy has come to. Cheap to clone; all clones say the same.
#[derive(Clone, Debug)]
pub struct Claim(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Unelected,
    Elected { standing: watch::Receiver<Standing>, clock: Clock },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Candidate,
    Leading(Leadership),
    Over,
}

/// The end of a claim that its elector holds.
#[derive(Debug)]
pub(super) struct Herald {
    standing: watch::Sender<Standing>,
}

impl Claim {
    /// The claim of a process that nobody has to elect; see [`Leadership::unelected`].
    pub const fn unelected() -> Self {
        Self(Kind::Unelected)
    }

    /// A claim that never comes to anything: for whoever is to be shown to do nothing without a leadership.
    pub fn vain(clock: Clock) -> Self {
        Herald::new(clock).1
    }

    /// The leadership at this moment. `None`: this process does not lead (yet, or any more).
    pub fn current(&self, now: Monotonic) -> Option<Leadership> {
        match &self.0 {
            Kind::Unelected => Some(Leadership::unelected()),
            Kind::Elected { standing, .. } => match *standing.borrow() {
                Standing::Leading(leadership) if leadership.is_current(now) => Some(leadership),
                Standing::Leading(_) | Standing::Candidate | Standing::Over => None,
            },
        }
    }

    /// Resolves once the leadership that this claim stands for is over, lost or given up, or will never be. What it guards
    /// must stop then. Never, without election.
    pub async fn ended(&self) {
        let Kind::Elected { standing, clock } = &self.0 else { return std::future::pending().await };
        let mut standing = standing.clone();
        loop {
            let now = *standing.borrow_and_update();
            let end = match now {
                Standing::Over => return,
                Standing::Candidate => None,
                Standing::Leading(leadership) => leadership.valid_until(),
            };
            let Some(end) = end else {
                if standing.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let time_is_up = tokio::time::sleep_until(clock.instant(end));
            tokio::select! {
                // Without an elector nobody renews it any more.
                changed = standing.changed() => if changed.is_err() {
                    return tokio::time::sleep_until(clock.instant(end)).await;
                },
                () = time_is_up => return,
            }
        }
    }
}

impl Herald {
    /// A claim that has come to nothing yet.
    pub(super) fn new(clock: Clock) -> (Self, Claim) {
        let (sender, standing) = watch::channel(Standing::Candidate);
        (Self { standing: sender }, Claim(Kind::Elected { standing, clock }))
    }

    /// Tells the claim what it stands for. `None` after a leadership: it is over.
    pub(super) fn proclaim(&self, leadership: Option<Leadership>) {
        self.standing.send_if_modified(|standing| {
            let next = match (leadership, *standing) {
                (_, Standing::Over) | (None, Standing::Leading(_)) => Standing::Over,
                (Some(leadership), Standing::Candidate | Standing::Leading(_)) => Standing::Leading(leadership),
                (None, Standing::Candidate) => Standing::Candidate,
            };
            std::mem::replace(standing, next) != next
        });
    }

    /// The candidacy is over.
    pub(super) fn close(&self) {
        self.standing.send_replace(Standing::Over);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn leading(clock: Clock, epoch: u64, seconds: u64) -> Leadership {
        Leadership::until(epoch, clock.now().monotonic.after(Duration::from_secs(seconds)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_ends_by_itself_though_its_elector_hangs() {
        let clock = Clock::start();
        let (herald, claim) = Herald::new(clock);
        assert_eq!(claim.current(clock.now().monotonic), None);
        let leadership = leading(clock, 1, 10);
        herald.proclaim(Some(leadership));
        assert_eq!(claim.current(clock.now().monotonic), Some(leadership));
        claim.ended().await;
        let now = clock.now().monotonic;
        assert_eq!(claim.current(now), None);
        assert!(!leadership.is_current(now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_lasts_as_long_as_it_is_renewed_also_when_its_elector_is_gone_afterwards() {
        let clock = Clock::start();
        let (herald, claim) = Herald::new(clock);
        let begin = clock.now().monotonic;
        herald.proclaim(Some(leading(clock, 1, 10)));
        let elector = tokio::spawn(async move {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(5)).await;
                herald.proclaim(Some(leading(clock, 1, 10)));
            }
        });
        claim.ended().await;
        elector.await.expect("no panic");
        assert!(clock.now().monotonic.since(begin) >= Duration::from_secs(25));
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_was_given_up_is_over_at_once_and_for_good() {
        let clock = Clock::start();
        let (herald, claim) = Herald::new(clock);
        herald.proclaim(Some(leading(clock, 1, 10)));
        herald.proclaim(None);
        claim.ended().await;
        herald.proclaim(Some(leading(clock, 2, 10)));
        assert_eq!(claim.current(clock.now().monotonic), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_candidacy_without_elector_never_comes_to_anything() {
        let clock = Clock::start();
        let (herald, claim) = Herald::new(clock);
        drop(herald);
        claim.ended().await;
        assert_eq!(claim.current(clock.now().monotonic), None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_election_there_is_always_a_leadership() {
        let claim = Claim::unelected();
        assert_eq!(claim.current(Monotonic(Duration::MAX)), Some(Leadership::unelected()));
        assert!(tokio::time::timeout(Duration::from_secs(86_400), claim.ended()).await.is_err());
    }
}
