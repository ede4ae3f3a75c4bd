//! The account of an ingest: every record taken is an event, a fact or a reject.

use std::collections::BTreeMap;

use crate::source::Account;

/// Counts since the pipeline started. `records` is always `events + facts + rejects`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    pub payloads: u64,
    pub bytes: u64,
    pub records: u64,
    pub events: u64,
    pub facts: u64,
    pub rejects: u64,
    /// Drawn beside records: proofs that a source was heard.
    pub heard: u64,
    /// Facts by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Rejects by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Per table: rows added, and rows whose key was there already.
    pub tables: BTreeMap<&'static str, Rows>,
    pub commits: u64,
    /// Events whose id was there with another time, action or actor: kept in rejects.
    pub conflicts: u64,
}

/// What became of the rows of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    pub added: u64,
    pub known_already: u64,
}

impl Ledger {
    /// A payload of `bytes` gave these records.
    pub(super) fn took(&mut self, bytes: usize, account: &Account) {
        // An empty payload only carries a position.
        self.payloads += u64::from(bytes > 0);
        self.bytes += bytes as u64;
        self.events += account.events;
        self.facts += account.facts;
        self.rejects += account.rejects;
        self.records += account.events + account.facts + account.rejects;
    }

    /// A commit added rows to a table and found others there.
    pub(super) fn count(&mut self, table: &'static str, added: u64, known_already: u64) {
        let rows = self.tables.entry(table).or_default();
        rows.added += added;
        rows.known_already += known_already;
    }

    /// Adds the counts of another ledger.
    pub fn add(&mut self, other: &Ledger) {
        self.payloads += other.payloads;
        self.bytes += other.bytes;
        self.records += other.records;
        self.events += other.events;
        self.facts += other.facts;
        self.rejects += other.rejects;
        self.heard += other.heard;
        self.commits += other.commits;
        self.conflicts += other.conflicts;
        for (kind, n) in &other.kinds {
            *self.kinds.entry(kind.clone()).or_default() += n;
        }
        for (reason, n) in &other.reasons {
            *self.reasons.entry(reason).or_default() += n;
        }
        for (table, rows) in &other.tables {
            let own = self.tables.entry(table).or_default();
            own.added += rows.added;
            own.known_already += rows.known_already;
        }
    }
}
