//! An API server as far as Leases go: compare-and-swap on uid and version, and people who edit by hand.

use std::collections::BTreeMap;

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

    /// By hand, or with a precondition.
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
