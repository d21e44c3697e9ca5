//! What a state file holds.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `format` | number of this layout |
//! | `names` | name of a run | its UID |
//! | `heads` | UID | [`Head`] as JSON: what users asked for; written seldom |
//! | `states` | UID | version, flags, status as JSON; written with every decision |
//! | `definitions` | name | name of its newest revision |
//! | `revisions` | name of a revision | `SagaDefinitionSpec` as canonical JSON |

use redb::{Database, Durability, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::api::SagaRunSpec;

/// Of this layout.
pub(super) const FORMAT: u64 = 1;
/// Key of it.
pub(super) const FORMAT_KEY: &str = "format";

type Texts = TableDefinition<'static, &'static str, &'static str>;
type Bytes = TableDefinition<'static, &'static str, &'static [u8]>;

pub(super) const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
pub(super) const NAMES: Texts = TableDefinition::new("names");
pub(super) const HEADS: Bytes = TableDefinition::new("heads");
pub(super) const STATES: Bytes = TableDefinition::new("states");
pub(super) const DEFINITIONS: Texts = TableDefinition::new("definitions");
pub(super) const REVISIONS: Bytes = TableDefinition::new("revisions");

/// What users asked of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    /// Name of the run.
    pub(super) name: String,
    /// From 1; rises with every change.
    pub(super) generation: i64,
    /// It is to be deleted.
    #[serde(default)]
    pub(super) deleted: bool,
    /// `spec`.
    pub(super) spec: SagaRunSpec,
}

/// Where a run stands: a row of `states` taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State<'a> {
    /// Rises with every write of the run, from 1.
    pub(super) version: u64,
    /// It ended, and needs nothing any more.
    pub(super) released: bool,
    /// Empty: nobody took the run up.
    pub(super) status: &'a [u8],
}

const RELEASED: u8 = 1;

impl<'a> State<'a> {
    /// Takes a row apart; `None` if it is not one.
    pub(super) fn read(row: &'a [u8]) -> Option<Self> {
        let (version, rest) = row.split_first_chunk::<8>()?;
        let (flags, status) = rest.split_first()?;
        Some(Self { version: u64::from_be_bytes(*version), released: *flags & RELEASED != 0, status })
    }

    /// The row.
    pub(super) fn write(self) -> Vec<u8> {
        let mut row = Vec::with_capacity(9 + self.status.len());
        row.extend_from_slice(&self.version.to_be_bytes());
        row.push(if self.released { RELEASED } else { 0 });
        row.extend_from_slice(self.status);
        row
    }
}

/// All tables, open for one transaction.
pub(super) struct Tables<'t> {
    pub(super) names: Table<'t, &'static str, &'static str>,
    pub(super) heads: Table<'t, &'static str, &'static [u8]>,
    pub(super) states: Table<'t, &'static str, &'static [u8]>,
    pub(super) definitions: Table<'t, &'static str, &'static str>,
    pub(super) revisions: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(write: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            names: write.open_table(NAMES)?,
            heads: write.open_table(HEADS)?,
            states: write.open_table(STATES)?,
            definitions: write.open_table(DEFINITIONS)?,
            revisions: write.open_table(REVISIONS)?,
        })
    }
}

/// Begins a transaction whose commit returns when it is durable.
///
/// One sync a commit: redb checks sums when it opens a file after a crash, so neither its two-phase commit nor its
/// quick repair (both cost a second sync) is needed.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    Ok(write)
}

/// Makes the tables of a new file.
pub(super) fn create_all(database: &Database) -> Result<(), redb::Error> {
    let write = begin(database)?;
    Tables::open(&write)?;
    write.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
    Ok(write.commit()?)
}

/// Reads one row of bytes.
pub(super) fn bytes(read: &ReadTransaction, table: Bytes, key: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    Ok(read.open_table(table)?.get(key)?.map(|value| value.value().to_vec()))
}

/// Reads one row of text.
pub(super) fn text(read: &ReadTransaction, table: Texts, key: &str) -> Result<Option<String>, redb::Error> {
    Ok(read.open_table(table)?.get(key)?.map(|value| value.value().to_owned()))
}

/// All keys of a table, in their order.
pub(super) fn entries(read: &ReadTransaction, table: Texts) -> Result<Vec<(String, String)>, redb::Error> {
    let table = read.open_table(table)?;
    let row = |row: Result<(redb::AccessGuard<'_, &'static str>, redb::AccessGuard<'_, &'static str>), _>| {
        row.map(|(key, value)| (key.value().to_owned(), value.value().to_owned())).map_err(redb::Error::from)
    };
    table.iter()?.map(row).collect()
}
