//! Offsets of recorded evidence in the unit that a reader asks for. They are stored in code points; the job's input, which is
//! stored too, has what it takes to convert them.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::value::RawValue;

use super::Jobs;
use super::errors::store_problem;
use super::event_follower::EventPage;
use super::store::{Event, JobKey};
use crate::contract::to_json;
use crate::types::{Error, Item, LeafEvidence, OffsetUnit, convert_offsets};

/// Member of a result that has offsets.
const EVIDENCE: &str = "evidence";

impl Jobs {
    /// Converts the offsets in results to a unit.
    ///
    /// # Errors
    /// `overloaded` or `internal` if the store fails.
    pub async fn convert_offsets(
        &self,
        job: JobKey,
        events: &mut [Event],
        unit: OffsetUnit,
    ) -> Result<(), Error> {
        if unit == OffsetUnit::CodePoint {
            return Ok(());
        }
        for event in events {
            let Some((index, _)) = event.item else {
                continue;
            };
            let Some((mut members, mut evidence)) = evidence_of(&event.body) else {
                continue;
            };
            let input = self.0.store.input(job, index).await;
            let input = input.map_err(|error| store_problem(&error))?;
            let item = input.and_then(|input| serde_json::from_slice::<Item>(&input).ok());
            let Some(item) = item else { continue };
            convert_offsets(&item.content.0, OffsetUnit::CodePoint, unit, &mut evidence);
            if let Ok(evidence) = serde_json::value::to_raw_value(&evidence) {
                members.insert(EVIDENCE.to_owned(), evidence);
                event.body = to_json(&members);
            }
        }
        Ok(())
    }

    /// Converts the offsets in a page of events to a unit.
    ///
    /// # Errors
    /// `overloaded` or `internal` if the store fails.
    pub async fn convert_page(
        &self,
        job: JobKey,
        page: EventPage,
        unit: OffsetUnit,
    ) -> Result<EventPage, Error> {
        if unit == OffsetUnit::CodePoint {
            return Ok(page);
        }
        let mut events = page.events().to_vec();
        self.convert_offsets(job, &mut events, unit).await?;
        Ok(page.with_events(Arc::from(events)))
    }
}

type Members = IndexMap<String, Box<RawValue>>;

/// Returns the members of a result, and its evidence; `None` if it has no spans.
fn evidence_of(body: &[u8]) -> Option<(Members, Vec<LeafEvidence>)> {
    let members: Members = serde_json::from_slice(body).ok()?;
    let evidence: Vec<LeafEvidence> = serde_json::from_str(members.get(EVIDENCE)?.get()).ok()?;
    let has_spans = evidence.iter().any(|leaf| !leaf.spans.is_empty());
    has_spans.then_some((members, evidence))
}
