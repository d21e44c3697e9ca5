//! How a process hears of changes: late, not of each, sometimes of what is long past, and of all runs now and then.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use saga_operator::engine::{Fleet, Ports};
use saga_operator::journal::Loaded;
use tokio::sync::mpsc::UnboundedReceiver;

use super::fate::{Fate, Source};
use super::process::Process;
use super::store::{News, Store};

/// So many old versions of a run are kept by a cache that lags.
const REMEMBERED: usize = 6;

pub struct Watch<E> {
    pub store: Store,
    pub fate: Arc<Fate>,
    pub fleet: Fleet<E>,
    pub process: Arc<Process>,
    pub news: UnboundedReceiver<News>,
    /// While it is true: it hears.
    pub hears: Arc<AtomicBool>,
}

impl<E: Ports> Watch<E> {
    pub fn run(mut self) -> impl Future<Output = ()> + Send {
        let process = self.process.clone();
        async move { process.while_alive(self.hear()).await }
    }

    async fn hear(&mut self) {
        self.list();
        let mut past = BTreeMap::<String, Vec<Arc<Loaded>>>::new();
        loop {
            let every = Duration::from_secs(if self.fate.is_calm() { 30 } else { 4 });
            let heard = tokio::time::timeout(every, self.news.recv()).await;
            self.process.thaw().await;
            let hears = self.hears.load(Ordering::Relaxed);
            match heard {
                Err(_) if hears => self.look_again(&past),
                Ok(None) => return,
                Ok(Some((run, now))) if hears => {
                    if let Some(now) = &now {
                        let past = past.entry(run.uid.clone()).or_default();
                        past.push(now.clone());
                        if past.len() > REMEMBERED {
                            past.remove(0);
                        }
                    }
                    self.bring(run, now).await;
                }
                Err(_) | Ok(Some(_)) => {}
            }
        }
    }

    /// All runs are listed, by a server that may lag behind.
    fn look_again(&self, past: &BTreeMap<String, Vec<Arc<Loaded>>>) {
        if self.fate.mishap(Source::Watch, 3) != 1 {
            return self.list();
        }
        self.fate.fault("stale list", || self.process.name.clone());
        for versions in past.values().filter(|versions| !versions.is_empty()) {
            let place = self.fate.below(Source::Watch, u32::try_from(versions.len()).unwrap());
            self.offer(&versions[usize::try_from(place).unwrap()]);
        }
    }

    fn list(&self) {
        let all: Vec<Loaded> = self.store.uids().iter().filter_map(|uid| self.store.get(uid)).collect();
        self.fleet.listed(|uid| all.iter().any(|run| run.run.uid == uid));
        all.into_iter().for_each(|run| self.fleet.offer(run));
    }

    async fn bring(&self, run: Arc<saga_operator::saga::Identity>, now: Option<Arc<Loaded>>) {
        let late = match self.fate.mishap(Source::Watch, 8) {
            1 => {
                self.fate.fault("news lost", || format!("{} of {}", self.process.name, run.uid));
                return;
            }
            2 => {
                self.fate.fault("news delayed", || format!("{} of {}", self.process.name, run.uid));
                3000
            }
            _ => 40,
        };
        tokio::time::sleep(self.fate.millis(Source::Watch, late)).await;
        match now {
            Some(now) => self.offer(&now),
            None => {
                self.fate.tell(|| format!("{} hears that {} is gone", self.process.name, run.uid));
                self.fleet.gone(&run);
            }
        }
    }

    fn offer(&self, now: &Loaded) {
        self.fate.tell(|| format!("{} hears of version {} of {}", self.process.name, now.version, now.run.uid));
        self.fleet.offer(now.clone());
    }
}
