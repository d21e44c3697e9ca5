//! A place for an operator, and the lives that it had: whoever ends is started again, as a pod would be.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::wall::Wall;
use crate::common::operator::{Access, Operator, Victim};
use crate::common::proxy::Proxy;

const SIGTERM: i32 = 15;
/// What an operator says that lost its leadership.
const DEPOSED: &str = "does not lead any more";

/// How an operator was made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `kill -9`
    Killed,
    /// SIGTERM
    Asked,
    /// Not at all: it ends by itself, or goes on.
    Own,
}

/// One process, from its start on.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// What the Lease calls it, up to the random suffix.
    pub(crate) pod: String,
    pub(crate) begun: Instant,
    /// When it was gone.
    pub(crate) over: Option<Instant>,
    /// When it stood still.
    pub(crate) stopped: Vec<(Instant, Option<Instant>)>,
    pub(crate) end: End,
    /// It got a SIGTERM, whatever came before or after it.
    pub(crate) was_asked: bool,
    /// It was killed, or was about to be.
    was_killed: bool,
    pub(crate) status: Option<ExitStatus>,
    /// It could not reach the API server for a while.
    pub(crate) was_cut: bool,
}

/// A place for an operator.
pub(crate) struct Replica {
    name: String,
    access: Access,
    namespace: String,
    pub(crate) arguments: Vec<String>,
    /// Of the environment of every operator there.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) proxy: Proxy,
    pub(crate) wall: Wall,
    /// There is an API server.
    pub(crate) is_served: bool,
    operator: Option<Operator>,
    pub(crate) lives: Vec<Life>,
}

impl Replica {
    /// An empty place. `arguments`: of every operator there.
    pub(crate) async fn open(name: String, access: &Access, namespace: &str, arguments: Vec<String>) -> Self {
        let proxy = Proxy::start(access).await;
        let wall = Wall::before(&proxy);
        let (access, namespace) = (access.clone(), namespace.to_owned());
        Self {
            name,
            access,
            namespace,
            arguments,
            variables: Vec::new(),
            proxy,
            wall,
            is_served: true,
            operator: None,
            lives: Vec::new(),
        }
    }

    /// Starts an operator, unless there is one.
    pub(crate) fn start(&mut self) {
        if self.operator.is_some() {
            return;
        }
        let pod = format!("{}n{}", self.name, self.lives.len());
        let mut all: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        all.extend(["--pod-name", &pod]);
        let url = self.proxy.url();
        self.operator = Some(Operator::start_in(&self.access, &self.namespace, Some(&url), &all, &self.variables));
        let (begun, was_cut) = (Instant::now(), !self.is_served || self.wall.is_cut());
        self.lives.push(Life {
            pod,
            begun,
            over: None,
            stopped: Vec::new(),
            end: End::Own,
            was_asked: false,
            was_killed: false,
            status: None,
            was_cut,
        });
    }

    /// Whether a Lease names the operator that is here.
    pub(crate) fn is(&self, holder: &str) -> bool {
        let names = |life: &Life| holder.strip_prefix(&life.pod).is_some_and(|rest| rest.starts_with('-'));
        self.operator.is_some() && self.lives.last().is_some_and(names)
    }

    pub(crate) fn victim(&self) -> Option<Victim> {
        self.operator.as_ref().map(Operator::victim)
    }

    fn life(&mut self) -> &mut Life {
        self.lives.last_mut().expect("it was started")
    }

    /// The operator is about to be ended like this.
    pub(crate) fn will_end(&mut self, end: End) {
        let life = self.life();
        life.end = end;
        life.was_asked |= end == End::Asked;
        life.was_killed |= end == End::Killed;
    }

    /// It cannot reach the API server for a while.
    pub(crate) fn will_be_cut(&mut self) {
        self.life().was_cut = true;
    }

    /// `kill -9`; returns when that was.
    pub(crate) fn kill(&mut self) -> Instant {
        let at = Instant::now();
        if let Some(victim) = self.victim() {
            self.will_end(End::Killed);
            victim.kill();
        }
        at
    }

    /// SIGTERM.
    pub(crate) async fn terminate(&mut self) {
        self.will_end(End::Asked);
        if let Some(operator) = &self.operator {
            operator.terminate().await;
        }
    }

    /// SIGSTOP.
    pub(crate) async fn stop(&mut self) {
        self.life().stopped.push((Instant::now(), None));
        if let Some(operator) = &self.operator {
            operator.signal("-STOP").await;
        }
    }

    /// SIGCONT.
    pub(crate) async fn go_on(&mut self) {
        if let Some(operator) = &self.operator {
            operator.signal("-CONT").await;
        }
        if let Some((_, end)) = self.life().stopped.last_mut() {
            *end = Some(Instant::now());
        }
    }

    /// Waits until a process that stood still, and was replaced, has ended as it must. What is wrong about that.
    pub(crate) async fn deposed(&mut self) -> Option<String> {
        let operator = self.operator.take()?;
        let status = operator.gone().await;
        self.life().over = Some(Instant::now());
        let log = operator.log();
        let right = status.code() == Some(1) && log.contains(DEPOSED);
        (!right).then(|| format!("a zombie ended with {status}:\n{}", tail(&log)))
    }

    /// Notices when the operator has ended. What is wrong about that, if anything.
    pub(crate) fn look(&mut self) -> Option<String> {
        let operator = self.operator.as_ref()?;
        let status = operator.ended()?;
        let log = operator.log();
        self.operator = None;
        let life = self.life();
        (life.over, life.status) = (Some(Instant::now()), Some(status));
        let wrong = log.contains("panicked") || !life.may_end_so(status, &log);
        wrong.then(|| format!("{} ended with {status} after {:?}:\n{}", life.pod, life.end, tail(&log)))
    }

    /// Whether it knows who leads.
    pub(crate) fn is_ready(&self) -> bool {
        let log = self.operator.as_ref().map(Operator::log).unwrap_or_default();
        log.contains("this process follows") || log.contains("this process leads now")
    }

    /// Whether it is asked to end and has not ended yet.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_there() && self.lives.last().is_some_and(|life| life.was_asked)
    }

    pub(crate) fn is_there(&self) -> bool {
        self.operator.is_some()
    }

    /// Since when the operator here lives.
    pub(crate) fn age(&self) -> Duration {
        self.lives.last().map_or(Duration::ZERO, |life| life.begun.elapsed())
    }
}

impl Life {
    /// A process that is killed is killed; one that is asked ends well; every process may lose its leadership on a busy
    /// machine; one that is cut off may not even start.
    fn may_end_so(&self, status: ExitStatus, log: &str) -> bool {
        let killed = self.was_killed && status.code().is_none();
        // One that has only just begun does not listen yet.
        let unheard = status.signal() == Some(SIGTERM);
        let asked = self.was_asked && (status.success() || unheard);
        let failed = status.code() == Some(1) && (log.contains(DEPOSED) || self.was_cut);
        killed || asked || failed
    }

    /// Whether it stood still at some time between two moments.
    pub(crate) fn stood_still(&self, from: Instant, to: Instant) -> bool {
        self.stopped.iter().any(|(begin, end)| *begin <= to && end.is_none_or(|end| end >= from))
    }
}

/// The last lines; without the frames of a backtrace, which would be all that is left.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().filter(|line| !line.starts_with(' ')).collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
