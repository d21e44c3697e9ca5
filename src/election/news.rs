//! What happened in an election, in words that a person can act on at night. Pure.

#![warn(clippy::disallowed_methods)]

use std::fmt;
use std::time::Duration;

/// How a candidacy ended. It ends once; a new term needs a new candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It never led, or had given up before; the Lease does not name it.
    Withdrawn,
    /// It led and gave the Lease up: whoever looks next may take it.
    Released,
    /// It led, its work is over, and the Lease may still name it: the others wait a lease duration.
    Unreleased(String),
    /// It led and does not any more, against its will.
    Lost(Loss),
}

/// How a leadership was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The Lease names somebody else.
    Taken(String),
    /// No renewal was confirmed within the renew deadline; what went wrong last.
    NotRenewed(String),
}

/// One thing worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Somebody else is named.
    Follows { holder: String, transitions: i32 },
    /// The Lease names nobody and was not given up.
    Vacant,
    /// There was no Lease.
    Missing,
    /// We lead.
    Leads { after: String, transitions: i32 },
    /// A leader could not renew, and has so long.
    Trouble { what: String, left: Duration },
    /// It could again.
    Recovered,
    /// Who shares the shards, when that changes.
    Replicas(Vec<String>),
    /// A candidate cannot see the Lease.
    Blind(String),
    /// It is over.
    Ended { end: End, led: Option<Duration> },
}

/// How loud it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loudness {
    Info,
    Warn,
    Error,
}

impl News {
    const fn loudness(&self) -> Loudness {
        match self {
            Self::Follows { .. }
            | Self::Leads { .. }
            | Self::Recovered
            | Self::Missing
            | Self::Vacant
            | Self::Replicas(_) => Loudness::Info,
            Self::Trouble { .. } | Self::Blind(_) => Loudness::Warn,
            Self::Ended { end: End::Withdrawn | End::Released, .. } => Loudness::Info,
            Self::Ended { end: End::Unreleased(_), .. } => Loudness::Warn,
            Self::Ended { end: End::Lost(_), .. } => Loudness::Error,
        }
    }
}

impl News {
    /// One line of the log.
    pub(super) fn log(&self, lease: &str, identity: &str) {
        match self.loudness() {
            Loudness::Info => tracing::info!(lease, identity, "{self}"),
            Loudness::Warn => tracing::warn!(lease, identity, "{self}"),
            Loudness::Error => tracing::error!(lease, identity, "{self}"),
        }
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Follows { holder, transitions } => {
                write!(f, "`{holder}` leads (change of leader no. {transitions}); this process follows")
            }
            Self::Vacant => f.write_str(
                "the Lease names nobody, but was not given up: it is taken when it has stood so for its duration",
            ),
            Self::Missing => f.write_str("there is no Lease yet, or it was deleted: it is created"),
            Self::Leads { after, transitions } => {
                write!(f, "this process leads now, after {after} (change of leader no. {transitions})")
            }
            Self::Trouble { what, left } => write!(
                f,
                "failed to renew the Lease: {what}; this process leads for {:.1} s more unless a renewal succeeds",
                left.as_secs_f64()
            ),
            Self::Recovered => f.write_str("the API server answers about the Lease again"),
            Self::Replicas(live) => write!(f, "the shards are shared by {}", live.join(", ")),
            Self::Blind(what) => write!(f, "failed to look at the Lease: {what}; this process cannot lead meanwhile"),
            Self::Ended { end, led: Some(led) } => write!(f, "{end}; it led for {:.1} s", led.as_secs_f64()),
            Self::Ended { end, led: None } => end.fmt(f),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Withdrawn => f.write_str("this process does not stand for election any more"),
            Self::Released => f.write_str("this process gave the leadership up"),
            Self::Unreleased(what) => write!(
                f,
                "this process gave the leadership up, but failed to say so in the Lease: {what}; the next leader waits a \
                 lease duration"
            ),
            Self::Lost(Loss::Taken(holder)) => {
                write!(f, "this process lost the leadership: the Lease names `{holder}`")
            }
            Self::Lost(Loss::NotRenewed(what)) => write!(
                f,
                "this process lost the leadership: the Lease could not be renewed within the renew deadline ({what})"
            ),
        }
    }
}
