//! One body of knowledge per organisation, found by its host id or by its name.

use std::collections::HashMap;

use super::known::Known;
use crate::model::{Event, Org};

/// Everything known, organisation by organisation.
#[derive(Default)]
pub(super) struct Organizations {
    known: Vec<Known>,
    /// Id and name of each, as far as any record paired them.
    labels: Vec<Org>,
    by_id: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
    /// What was found last, and by which names: records of one organisation come together.
    last: Option<(Option<String>, Option<String>, usize)>,
    /// Facts that name no organisation: kept apart. Of them only sign-ins are evidence elsewhere, as
    /// Entra writes them for a tenant, and application ids are unique in the world.
    nameless: Known,
    /// Stays empty.
    unknown: Known,
}

impl Organizations {
    pub fn of_fact(&mut self, organization: &Org) -> &mut Known {
        self.find(organization.id.as_deref(), organization.name.as_deref())
    }

    pub fn of_event(&mut self, event: &Event<'_>) -> &mut Known {
        self.find(event.organization_id.as_deref(), event.organization.as_deref())
    }

    /// Id and name of an organisation of which a record names one.
    pub fn label(&self, organization: &Org) -> Org {
        let by_id = organization.id.as_ref().and_then(|id| self.by_id.get(id));
        let by_name = || self.by_name.get(&organization.name.as_ref()?.to_lowercase());
        let Some(label) = by_id.or_else(by_name).and_then(|index| self.labels.get(*index)) else {
            return organization.clone();
        };
        Org {
            id: organization.id.clone().or_else(|| label.id.clone()),
            name: organization.name.clone().or_else(|| label.name.clone()),
        }
    }

    /// What is known beyond any organisation.
    pub fn tenant(&self) -> &Known {
        &self.nameless
    }

    /// How much is held, in jobs.
    pub fn held(&self) -> usize {
        // An organisation takes as much itself, and anybody may name one.
        self.known.len() + self.known.iter().chain([&self.nameless]).map(Known::held).sum::<usize>()
    }

    /// What is known of an event's organisation; nothing, when it was never heard of.
    pub fn known_of(&self, event: &Event<'_>) -> &Known {
        self.of(event.organization_id.as_deref(), event.organization.as_deref())
    }

    /// What is known of an organisation by its id or its name.
    pub fn of(&self, id: Option<&str>, name: Option<&str>) -> &Known {
        if let Some((last_id, last_name, index)) = &self.last
            && (last_id.as_deref(), last_name.as_deref()) == (id, name)
        {
            return &self.known[*index];
        }
        let by_id = id.and_then(|id| self.by_id.get(id));
        let by_name = || self.by_name.get(&name?.to_lowercase());
        match by_id.or_else(by_name) {
            Some(index) => &self.known[*index],
            None if id.is_none() && name.is_none() => &self.nameless,
            None => &self.unknown,
        }
    }

    fn find(&mut self, id: Option<&str>, name: Option<&str>) -> &mut Known {
        if let Some((last_id, last_name, index)) = &self.last
            && (last_id.as_deref(), last_name.as_deref()) == (id, name)
        {
            return &mut self.known[*index];
        }
        let lower = name.map(str::to_lowercase);
        let by_id = id.and_then(|id| self.by_id.get(id).copied());
        let by_name = lower.as_ref().and_then(|name| self.by_name.get(name).copied());
        let index = match (by_id, by_name) {
            // A record that names both ties together what was learnt under either.
            (Some(a), Some(b)) if a != b => {
                let other = std::mem::take(&mut self.known[b]);
                self.known[a].absorb(other);
                self.by_name
                    .values_mut()
                    .chain(self.by_id.values_mut())
                    .filter(|i| **i == b)
                    .for_each(|i| *i = a);
                a
            }
            (Some(a), _) | (_, Some(a)) => a,
            (None, None) if id.is_none() && name.is_none() => return &mut self.nameless,
            (None, None) => {
                self.known.push(Known::default());
                self.labels.push(Org::default());
                self.known.len() - 1
            }
        };
        let label = &mut self.labels[index];
        label.id = label.id.take().or_else(|| id.map(str::to_owned));
        label.name = label.name.take().or_else(|| name.map(str::to_owned));
        if let Some(id) = id {
            self.by_id.entry(id.to_owned()).or_insert(index);
        }
        if let Some(name) = lower {
            self.by_name.entry(name).or_insert(index);
        }
        self.last = Some((id.map(str::to_owned), name.map(str::to_owned), index));
        &mut self.known[index]
    }
}
