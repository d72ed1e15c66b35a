//! Taking a record out of its folder, and another one of the same key in, without forgetting anything.

use std::collections::BTreeMap;

use baton_proto::{BlsPublicKey, Statement};

use super::{
    ATTESTATIONS, DOMAIN, Edit, FLOOR, KEYS_END, META, ORIGIN, QUIET, RecordOrigin, SignRecord, SignRecordError, VOTES,
    key_of, places, view_key,
};
use crate::{
    ledger::{Durability, Order},
    signer::{
        interchange::{Floor, INTERCHANGE_VERSION, Interchange, InterchangeError, Metadata, Signed},
        rules::contradict,
    },
};

/// Statements that contradict neither each other nor, so far, a record.
#[derive(Default)]
struct Gathered(BTreeMap<(&'static str, Vec<u8>), Statement>);

impl Gathered {
    /// Adds a statement, unless it is here.
    fn insert(&mut self, statement: Statement) -> Result<(), InterchangeError> {
        for place in places(&statement) {
            let range = (place.family, place.from)..(place.family, place.to);
            no_contradiction(self.0.range(range).map(|(_, known)| known), &statement)?;
        }
        let mut keys = vec![key_of(&statement)];
        keys.extend(
            places(&statement).into_iter().find_map(|place| place.second_key.then_some((place.family, place.from))),
        );
        for key in keys {
            self.0.entry(key).or_insert(statement);
        }
        Ok(())
    }
}

impl Interchange {
    pub(in crate::signer) fn check_key(&self, own: &BlsPublicKey) -> Result<(), InterchangeError> {
        let file = &self.metadata.public_key;
        if file == own {
            return Ok(());
        }
        Err(InterchangeError::WrongKey { file: Box::new(*file), own: Box::new(*own) })
    }

    /// Returns whether the file's own statements go together.
    pub(in crate::signer) fn check_itself(&self) -> Result<(), InterchangeError> {
        let mut gathered = Gathered::default();
        self.data.statements.iter().try_for_each(|statement| gathered.insert(*statement))
    }
}

impl SignRecord {
    /// Returns everything that the record holds.
    ///
    /// # Errors
    /// [`SignRecordError::Condemned`] if the key contradicted itself, for the file could not say so; others if the record
    /// cannot be read.
    pub fn export(&self) -> Result<Interchange, SignRecordError> {
        self.check_condemned()?;
        let mut statements = Vec::new();
        for (family, from, to) in [(VOTES, &b""[..], KEYS_END), (ATTESTATIONS, &b"a"[..], &b"b"[..])] {
            for (key, bytes) in self.engine.scan(family, from, to, Order::Ascending, usize::MAX)? {
                statements.push(self.decode(family, &key, &bytes)?);
            }
        }
        let (epoch, view) = self.floor;
        Ok(Interchange {
            metadata: Metadata {
                interchange_format_version: INTERCHANGE_VERSION.into(),
                public_key: self.key,
                domain: self.domain()?,
            },
            data: Signed { floor: Floor { epoch, view }, statements },
        })
    }

    /// Adds what `other` holds, in one synced step, and returns how many statements were new. From then on the record has
    /// the higher floor and the statements of both, but for those of `other` that it had forgotten: they bind it already. No
    /// statement goes, and the floor never falls, so an old export changes nothing.
    ///
    /// What was learned shows that the key has spoken elsewhere, so the record [must listen](RecordOrigin::must_listen).
    ///
    /// # Errors
    /// [`InterchangeError`]: of another key or chain, or a contradiction, whose pair it names. Nothing is changed then.
    pub fn merge(&mut self, other: &Interchange) -> Result<usize, InterchangeError> {
        other.check_key(&self.key)?;
        let own = self.domain()?;
        let mut edits = Vec::new();
        match (other.metadata.domain, own) {
            (Some(file), Some(own)) if file != own => {
                return Err(InterchangeError::OtherChain { file: Box::new(file), own: Box::new(own) });
            }
            (Some(file), None) => edits.push(Edit::Put(META, DOMAIN.into(), self.domain_bytes(&file)?)),
            _ => {}
        }
        let mut gathered = Gathered::default();
        let mut added = 0_usize;
        for statement in &other.data.statements {
            if self.accounts_for(statement)? || gathered.0.get(&key_of(statement)) == Some(statement) {
                continue;
            }
            no_contradiction(&self.related(statement)?, statement)?;
            gathered.insert(*statement)?;
            edits.extend(self.edits(statement));
            added = added.saturating_add(1);
        }
        let floor = (other.data.floor.epoch, other.data.floor.view).max(self.floor);
        if floor != self.floor {
            edits.push(Edit::Put(META, FLOOR.into(), view_key(floor.0, floor.1)));
        }
        let has_learned = added > 0 || floor != self.floor;
        if has_learned {
            edits.push(Edit::Put(META, ORIGIN.into(), vec![RecordOrigin::Imported.code()]));
            edits.push(Edit::Delete(META, QUIET.into()));
        }
        if edits.is_empty() {
            return Ok(0);
        }
        self.engine.write(edits, Durability::Synced).map_err(|error| {
            self.is_closed = true;
            SignRecordError::from(error)
        })?;
        if has_learned {
            (self.floor, self.origin, self.quiet) = (floor, RecordOrigin::Imported, None);
        }
        Ok(added)
    }
}

fn no_contradiction<'a>(
    known: impl IntoIterator<Item = &'a Statement>,
    statement: &Statement,
) -> Result<(), InterchangeError> {
    match known.into_iter().find(|known| contradict(known, statement)) {
        None => Ok(()),
        Some(known) => Err(InterchangeError::Contradiction { first: Box::new(*known), second: Box::new(*statement) }),
    }
}
