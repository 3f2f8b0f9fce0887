//! The mention that each leaf takes: its own while there are enough, close to the other leaves of its object.

mod distance;

use crate::leaves::Leaves;
use crate::mention::{Chosen, Mention, Status};
use crate::query::Query;
use distance::Distances;

/// Most leaves with one value for which the best assignment is searched; more take the nearest mention in order.
const MOST_OPTIMAL: usize = 64;

/// Most mentions that are considered for one value.
const MOST_CONSIDERED: usize = 128;

/// Chooses a mention for each leaf.
pub fn assign(text: &str, leaves: &Leaves, queries: &[Query]) -> Chosen {
    let mut order: Vec<&Query> = queries
        .iter()
        .filter(|query| !query.mentions.is_empty())
        .collect();
    order.sort_by_key(|query| {
        (
            query.mentions.len().max(query.leaves.len()),
            query.leaves.first().copied(),
        )
    });
    let mut assignment = Assignment {
        chosen: vec![None; leaves.leaves.len()],
        distances: None,
    };
    for query in &order {
        if let [mention] = query.mentions.as_slice() {
            query
                .leaves
                .iter()
                .for_each(|leaf| assignment.set(*leaf, Some(*mention)));
        }
    }
    order.retain(|query| query.mentions.len() > 1);
    if order.is_empty() {
        return assignment.chosen;
    }
    assignment.distances = Some(Distances::new(text, leaves));
    // The second pass knows the neighbours that the first one did not.
    for pass in 0..2 {
        if pass > 0 {
            assignment.note_taken();
        }
        for query in &order {
            assignment.assign(query, pass == 0);
        }
    }
    assignment.chosen
}

struct Assignment {
    chosen: Chosen,
    distances: Option<Distances>,
}

impl Assignment {
    fn set(&mut self, leaf: u32, mention: Option<Mention>) {
        if let Some(slot) = self.chosen.get_mut(leaf as usize) {
            *slot = mention;
        }
    }

    fn note_taken(&mut self) {
        if let Some(distances) = &mut self.distances {
            distances.note_taken(&self.chosen);
        }
    }

    fn anchor(&self, leaf: u32) -> Option<u32> {
        self.distances
            .as_ref()
            .and_then(|distances| distances.anchor(leaf, &self.chosen))
    }

    fn is_in_list(&self, leaf: u32) -> bool {
        self.distances
            .as_ref()
            .is_some_and(|distances| distances.is_in_list(leaf))
    }

    fn cost(&self, leaf: u32, mention: Mention) -> u32 {
        self.distances
            .as_ref()
            .map_or(0, |distances| distances.cost(leaf, mention, &self.chosen))
    }

    /// Assigns the mentions of one value to its leaves: only exact ones at first if there are enough, so that "Aspirin" leaves
    /// "aspirin" to the leaf that says it so. Elements of lists have no object that would speak for another mention.
    fn assign(&mut self, query: &Query, is_first: bool) {
        query.leaves.iter().for_each(|leaf| self.set(*leaf, None));
        let mut leaves: Vec<(Option<u32>, u32)> = query
            .leaves
            .iter()
            .map(|leaf| (self.anchor(*leaf), *leaf))
            .collect();
        leaves.sort_unstable();
        if leaves.len() > MOST_OPTIMAL {
            self.assign_in_order(&leaves, &query.mentions);
            return;
        }
        let is_exact_only = is_first || leaves.iter().all(|(_, leaf)| self.is_in_list(*leaf));
        let exact: Vec<Mention> = query
            .mentions
            .iter()
            .copied()
            .filter(|mention| is_exact_only && mention.status == Status::Exact)
            .collect();
        let candidates = if exact.len() < leaves.len() {
            &query.mentions
        } else {
            &exact
        };
        let mentions = considered(&leaves, candidates);
        let costs: Vec<Vec<u32>> = leaves
            .iter()
            .map(|(_, leaf)| {
                mentions
                    .iter()
                    .map(|mention| self.cost(*leaf, *mention))
                    .collect()
            })
            .collect();
        let places = if leaves.len() > mentions.len() {
            share_in_order(&costs, mentions.len())
        } else {
            match_in_order(&costs, mentions.len())
        };
        for ((_, leaf), place) in leaves.iter().zip(places) {
            self.set(*leaf, mentions.get(place).copied());
        }
    }

    /// Gives each leaf the cheapest of the next mentions near its anchor, so that enough remain for the others.
    fn assign_in_order(&mut self, leaves: &[(Option<u32>, u32)], mentions: &[Mention]) {
        let mut next = 0;
        for (number, (anchor, leaf)) in leaves.iter().enumerate() {
            let remaining = leaves.len() - number;
            let latest = mentions.len().saturating_sub(remaining);
            let near = anchor.map_or(next, |anchor| {
                mentions
                    .partition_point(|mention| mention.start < anchor)
                    .saturating_sub(4)
            });
            let from = near.max(next).min(latest.max(next)).min(mentions.len() - 1);
            let upto = (from + 8).min(latest.max(from) + 1).min(mentions.len());
            let candidates = from..upto;
            let best = candidates.min_by_key(|place| {
                mentions
                    .get(*place)
                    .map(|mention| self.cost(*leaf, *mention))
            });
            let best = best.unwrap_or(from);
            self.set(*leaf, mentions.get(best).copied());
            next = best + 1;
        }
    }
}

/// Returns the mentions that leaves may take: those near their anchors if there are very many.
fn considered(leaves: &[(Option<u32>, u32)], mentions: &[Mention]) -> Vec<Mention> {
    let mut places: Vec<usize> = if mentions.len() <= MOST_CONSIDERED {
        (0..mentions.len()).collect()
    } else {
        let each = (MOST_CONSIDERED / leaves.len().max(1)).max(2);
        let near = leaves.iter().flat_map(|(anchor, _)| {
            let at = anchor.map_or(0, |anchor| {
                mentions.partition_point(|mention| mention.start < anchor)
            });
            let from = at.saturating_sub(each / 2);
            from..(from + each).min(mentions.len())
        });
        (0..leaves.len().min(mentions.len())).chain(near).collect()
    };
    places.sort_unstable();
    places.dedup();
    places
        .into_iter()
        .filter_map(|place| mentions.get(place).copied())
        .collect()
}

/// Returns the place of each row's choice where rows are more than places: each place is taken, and places never descend.
fn share_in_order(costs: &[Vec<u32>], width: usize) -> Vec<usize> {
    const NEVER: u64 = u64::MAX / 2;
    let mut best = vec![NEVER; width];
    let mut history = Vec::with_capacity(costs.len());
    for (number, row) in costs.iter().enumerate() {
        let mut steps = vec![false; width];
        for place in (0..width).rev() {
            let stay = best.get(place).copied().unwrap_or(NEVER);
            let step = place
                .checked_sub(1)
                .and_then(|before| best.get(before))
                .copied()
                .unwrap_or(NEVER);
            let before = if number == 0 && place == 0 {
                0
            } else {
                stay.min(step)
            };
            let cost = row.get(place).copied().unwrap_or_default();
            if let (Some(slot), Some(is_move)) = (best.get_mut(place), steps.get_mut(place)) {
                *is_move = step < stay;
                *slot = before.saturating_add(u64::from(cost)).min(NEVER);
            }
        }
        history.push(steps);
    }
    let mut place = width.saturating_sub(1);
    let mut places = vec![0; costs.len()];
    for (slot, steps) in places.iter_mut().zip(&history).rev() {
        *slot = place;
        place -= usize::from(place > 0 && steps.get(place) == Some(&true));
    }
    places
}

/// Returns the place of each row's choice: the cheapest choice in which places ascend.
fn match_in_order(costs: &[Vec<u32>], width: usize) -> Vec<usize> {
    const NEVER: u64 = u64::MAX / 2;
    // `best[place]`: cost of the rows so far with places below `place`.
    let mut best = vec![0_u64; width + 1];
    let mut taken = Vec::with_capacity(costs.len());
    for row in costs {
        let mut next = vec![NEVER; width + 1];
        let mut choices = vec![false; width + 1];
        for (place, cost) in row.iter().enumerate() {
            let taking = best
                .get(place)
                .map_or(NEVER, |before| before.saturating_add(u64::from(*cost)))
                .min(NEVER);
            let without = next.get(place).copied().unwrap_or(NEVER);
            if let (Some(slot), Some(choice)) =
                (next.get_mut(place + 1), choices.get_mut(place + 1))
            {
                *choice = taking < without;
                *slot = taking.min(without);
            }
        }
        best = next;
        taken.push(choices);
    }
    let mut place = width;
    let mut places = vec![0; costs.len()];
    for (slot, choices) in places.iter_mut().zip(&taken).rev() {
        while place > 1 && choices.get(place) != Some(&true) {
            place -= 1;
        }
        place = place.saturating_sub(1);
        *slot = place;
    }
    places
}
