//! A power failure at any write: of what was not synced, any part may be on the disk, sector by sector.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::LocalJournal;
use crate::api::SagaRunSpec;
use crate::election::Claim;
use crate::journal::{Draft, Journal};
use crate::saga::{Fence, Stored};

const SECTOR: usize = 512;

type Acknowledged = BTreeMap<String, Fence>;

/// What is on the disk, and what only may be.
#[derive(Debug)]
pub(super) struct Power {
    disk: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
    /// Writes and syncs until the failure.
    left: u64,
    random: u64,
    acknowledged: Arc<Mutex<Acknowledged>>,
    /// The disk after the failure, and what was acknowledged before it.
    cut: Option<(Vec<u8>, Acknowledged)>,
}

impl Power {
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        self.tick();
        self.pending.push((usize::try_from(offset).unwrap(), data.to_vec()));
    }

    pub(super) fn sync(&mut self) {
        self.tick();
        for (offset, data) in std::mem::take(&mut self.pending) {
            put(&mut self.disk, offset, &data);
        }
    }

    fn tick(&mut self) {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 || self.cut.is_some() {
            return;
        }
        let mut disk = self.disk.clone();
        for (offset, data) in self.pending.clone() {
            for (index, sector) in data.chunks(SECTOR).enumerate() {
                if self.coin() {
                    put(&mut disk, offset + index * SECTOR, sector);
                }
            }
        }
        self.cut = Some((disk, self.acknowledged.lock().unwrap().clone()));
    }

    fn coin(&mut self) -> bool {
        self.random = random(self.random);
        self.random.is_multiple_of(2)
    }
}

fn put(disk: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if disk.len() < end {
        disk.resize(end, 0);
    }
    disk[offset..end].copy_from_slice(data);
}

/// splitmix64
fn random(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 31)
}

async fn write_until_the_cut(journal: &LocalJournal, name: String, acknowledged: &Mutex<Acknowledged>) {
    let mut run = journal.run(&name).unwrap();
    for _ in 0..1000 {
        let cut = |power: &Option<Power>| power.as_ref().is_some_and(|power| power.cut.is_some());
        if cut(&journal.inner.store.faults.planned.power.lock().unwrap()) {
            return;
        }
        let stored = Stored { fence: run.stored.fence.next(), ..run.stored.clone() };
        let draft = Draft {
            run: run.run.clone(),
            version: run.version,
            stored: stored.clone(),
            intents: Vec::new(),
            polls: Vec::new(),
        };
        run.version = journal.persist(draft, &Claim::unelected()).await.unwrap().version;
        run.stored = stored;
        acknowledged.lock().unwrap().insert(name.clone(), run.stored.fence);
    }
}

#[tokio::test]
async fn every_acknowledged_decision_outlives_a_power_failure_at_any_write() {
    let directory = tempfile::tempdir().unwrap();
    for seed in 0..40 {
        let journal = LocalJournal::temporary().unwrap();
        let names: Vec<String> = (0..4).map(|run| format!("run-{run}")).collect();
        for name in &names {
            journal.submit(name, &SagaRunSpec::default()).await.unwrap();
        }
        let acknowledged = Arc::<Mutex<Acknowledged>>::default();
        let power = Power {
            disk: std::fs::read(journal.path()).unwrap(),
            pending: Vec::new(),
            left: 1 + random(seed) % 150,
            random: seed,
            acknowledged: acknowledged.clone(),
            cut: None,
        };
        *journal.inner.store.faults.planned.power.lock().unwrap() = Some(power);
        let runs = names.iter().map(|name| write_until_the_cut(&journal, name.clone(), &acknowledged));
        futures::future::join_all(runs).await;
        let power = journal.inner.store.faults.planned.power.lock().unwrap().take().unwrap();
        let (disk, acknowledged) = power.cut.unwrap_or_else(|| panic!("seed {seed}: nothing reaches the disk"));

        let path = directory.path().join(format!("{seed}.redb"));
        std::fs::write(&path, disk).unwrap();
        let after = LocalJournal::open(&path).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for name in &names {
            let least = acknowledged.get(name).copied().unwrap_or_default();
            let found = after.run(name).unwrap().stored.fence;
            assert!(found == least || found == least.next(), "seed {seed}: {name} has {found}, not {least}");
        }
    }
}
