//! An API server as far as Leases go: compare-and-swap on uid and version, and people who edit by hand.

use std::collections::BTreeMap;

use crate::election::council::{Chore, Report};
use crate::election::machine::{Answer, Request};
use crate::election::record::{LeaseObject, Record};

#[derive(Debug, Default)]
pub(super) struct Server {
    objects: BTreeMap<String, LeaseObject>,
    version: u64,
    pub(super) writes: u64,
    pub(super) conflicts: u64,
}

impl Server {
    pub(super) fn perform(&mut self, name: &str, request: &Request) -> Answer {
        let there = self.objects.get(name);
        match (request, there) {
            (Request::Read, None) => Answer::Missing,
            (Request::Read, Some(lease)) => Answer::Found(lease.clone()),
            (Request::Create(record), None) => {
                let uid = format!("uid-{}", self.version);
                Answer::Written(self.store(name, uid, record.clone()))
            }
            // What does not change is not stored again.
            (Request::Replace { uid, version, record }, Some(lease))
                if (&lease.uid, &lease.version, &lease.record) == (uid, version, record) =>
            {
                Answer::Written(lease.clone())
            }
            (Request::Replace { uid, version, record }, Some(lease))
                if (&lease.uid, &lease.version) == (uid, version) =>
            {
                Answer::Written(self.store(name, uid.clone(), record.clone()))
            }
            (Request::Create(_), Some(_)) | (Request::Replace { .. }, _) => {
                self.conflicts += 1;
                Answer::Conflict
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&LeaseObject> {
        self.objects.get(name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &LeaseObject)> {
        self.objects.iter()
    }

    /// Requests about replicas.
    pub(super) fn run(&mut self, chore: &Chore) -> Report {
        let written = |answer| match answer {
            Answer::Written(lease) => Report::Written(lease),
            answer => {
                assert_eq!(answer, Answer::Conflict);
                Report::Conflict
            }
        };
        match chore {
            Chore::Survey => Report::Surveyed(self.objects.clone().into_iter().collect()),
            Chore::Enrol { name, record } => written(self.perform(name, &Request::Create(record.clone()))),
            Chore::Renew { name, uid, version, record } => {
                let (uid, version, record) = (uid.clone(), version.clone(), record.clone());
                written(self.perform(name, &Request::Replace { uid, version, record }))
            }
            Chore::Remove { name, uid, version } => match self.objects.get(name) {
                Some(lease) if (&lease.uid, &lease.version) == (uid, version) => {
                    self.delete(name);
                    Report::Gone
                }
                Some(_) => Report::Conflict,
                None => Report::Gone,
            },
        }
    }

    /// By hand.
    pub(super) fn delete(&mut self, name: &str) {
        self.version += 1;
        self.objects.remove(name);
    }

    /// By hand: without any precondition.
    pub(super) fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Record)) {
        let Some(lease) = self.objects.get(name).cloned() else { return };
        let mut record = lease.record;
        edit(&mut record);
        self.store(name, lease.uid, record);
    }

    fn store(&mut self, name: &str, uid: String, record: Record) -> LeaseObject {
        self.version += 1;
        self.writes += 1;
        let lease = LeaseObject { uid, version: self.version.to_string(), record };
        self.objects.insert(name.to_owned(), lease.clone());
        lease
    }
}
