//! Cost of a mention for a leaf: how far it is from what the neighbouring leaves took.

use crate::leaves::Leaves;
use crate::mention::{Chosen, Mention};

/// Characters that the end of a line, a sentence or a list element is worth.
const BREAK_COST: u32 = 12;

/// Most breaks that are counted between two mentions.
const MOST_BREAKS: u32 = 20;

/// Cost of taking text that another leaf takes as well.
const OVERLAP_COST: u32 = 40;

/// Most neighbours of each kind that a leaf looks at, on either side.
const NEIGHBOURS: usize = 6;

/// Neighbours of all leaves, and the breaks of the text.
pub struct Distances {
    breaks: Vec<u32>,
    neighbours: Vec<Neighbours>,
    /// Mentions that leaves took in an earlier pass, by their first byte, with the leaf.
    taken: Vec<(Mention, u32)>,
}

/// Leaves that one leaf should be close to.
#[derive(Default)]
struct Neighbours {
    /// Of the same object.
    own: Vec<u32>,
    /// Of the object around it, and of the objects in it.
    related: Vec<u32>,
    is_in_list: bool,
}

impl Distances {
    pub fn new(text: &str, leaves: &Leaves) -> Self {
        Self {
            breaks: breaks(text),
            neighbours: neighbours(leaves),
            taken: Vec::new(),
        }
    }

    pub fn note_taken(&mut self, chosen: &Chosen) {
        self.taken = (0..)
            .zip(chosen)
            .filter_map(|(leaf, mention)| Some(((*mention)?, leaf)))
            .collect();
        self.taken
            .sort_unstable_by_key(|(mention, _)| (mention.start, mention.end));
    }

    /// Returns the first byte of the nearest neighbour that has taken a mention.
    pub fn anchor(&self, leaf: u32, chosen: &Chosen) -> Option<u32> {
        let neighbours = self.neighbours.get(leaf as usize)?;
        let taken = |leaves: &[u32]| leaves.iter().find_map(|other| mention_of(*other, chosen));
        taken(&neighbours.own)
            .or_else(|| taken(&neighbours.related))
            .or_else(|| before_and_after(leaf, chosen).0)
            .map(|mention| mention.start)
    }

    /// Returns true for an element of a list.
    pub fn is_in_list(&self, leaf: u32) -> bool {
        self.neighbours
            .get(leaf as usize)
            .is_some_and(|neighbours| neighbours.is_in_list)
    }

    /// Returns the cost of a mention for a leaf, in characters.
    pub fn cost(&self, leaf: u32, mention: Mention, chosen: &Chosen) -> u32 {
        let Some(neighbours) = self.neighbours.get(leaf as usize) else {
            return 0;
        };
        let mut cost = u32::from(mention.penalty) + self.overlap(leaf, mention);
        let own = self.proximity(
            leaf,
            mention,
            &neighbours.own,
            neighbours.is_in_list,
            chosen,
        );
        let related = self.proximity(leaf, mention, &neighbours.related, false, chosen);
        let (before, after) = before_and_after(leaf, chosen);
        let is_out_of_order = before.is_some_and(|other| other.start > mention.start)
            || after.is_some_and(|other| other.start < mention.start);
        cost += match (own, related) {
            (Some(own), Some(related)) => own + related.min(300) / 4,
            (Some(cost), None) | (None, Some(cost)) => cost,
            (None, None) => {
                let outside = [before, after]
                    .into_iter()
                    .flatten()
                    .map(|other| self.distance(mention, other))
                    .min();
                if is_out_of_order {
                    40 + outside.unwrap_or_default()
                } else {
                    0
                }
            }
        };
        cost + if is_out_of_order { 10 } else { 0 }
    }

    /// Returns the distance from the nearest of some leaves, and a part of that from all of them.
    fn proximity(
        &self,
        leaf: u32,
        mention: Mention,
        others: &[u32],
        is_in_list: bool,
        chosen: &Chosen,
    ) -> Option<u32> {
        let (mut nearest, mut sum, mut count) = (u32::MAX, 0_u64, 0_u64);
        for other in others {
            let Some(place) = mention_of(*other, chosen) else {
                continue;
            };
            let distance = self.distance(mention, place);
            let is_ordered = (*other < leaf) == (place.start <= mention.start);
            let weighed = match (is_ordered, is_in_list) {
                (true, _) => distance,
                (false, false) => distance + distance / 3,
                (false, true) => distance.saturating_mul(3).saturating_add(20),
            };
            nearest = nearest.min(weighed);
            sum += u64::from(distance);
            count += 1;
        }
        let mean = u32::try_from(sum.checked_div(count)?).unwrap_or(u32::MAX);
        Some(nearest.saturating_add(mean.min(4000) / 8))
    }

    fn distance(&self, a: Mention, b: Mention) -> u32 {
        let (first, second) = if a.start <= b.start { (a, b) } else { (b, a) };
        if second.start < first.end {
            return OVERLAP_COST;
        }
        let place = |byte: u32| self.breaks.partition_point(|at| *at < byte);
        let breaks = place(second.start) - place(first.end);
        let breaks = u32::try_from(breaks)
            .unwrap_or(MOST_BREAKS)
            .min(MOST_BREAKS);
        (second.start - first.end) + breaks * BREAK_COST
    }

    /// Returns the cost of text that lies in what another leaf took: "Paris" in "Paris Hilton"; or that another leaf says better.
    fn overlap(&self, leaf: u32, mention: Mention) -> u32 {
        let upto = self
            .taken
            .partition_point(|(taken, _)| taken.start <= mention.start);
        let is_inside = self
            .taken
            .get(upto.saturating_sub(8)..upto)
            .unwrap_or_default()
            .iter()
            .any(|(taken, other)| {
                let is_worse = taken.status < mention.status
                    && (taken.start, taken.end) == (mention.start, mention.end);
                *other != leaf && (is_worse || taken.contains(mention))
            });
        if is_inside { OVERLAP_COST } else { 0 }
    }
}

/// Returns the mentions of the nearest leaves before and after a leaf in the document.
fn before_and_after(leaf: u32, chosen: &Chosen) -> (Option<Mention>, Option<Mention>) {
    let near = u32::try_from(NEIGHBOURS * 2).unwrap_or_default();
    let before = (leaf.saturating_sub(near)..leaf)
        .rev()
        .find_map(|other| mention_of(other, chosen));
    let after = (leaf + 1..=leaf + near).find_map(|other| mention_of(other, chosen));
    (before, after)
}

fn mention_of(leaf: u32, chosen: &Chosen) -> Option<Mention> {
    chosen.get(leaf as usize).copied().flatten()
}

/// Returns the ends of lines, sentences and list elements.
fn breaks(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let mut is_before_space = || chars.peek().is_none_or(|(_, next)| next.is_whitespace());
        let is_break = match c {
            '\n' | ';' | '。' | '！' | '？' | '；' | '।' | '؛' => true,
            '.' | '!' | '?' => is_before_space(),
            _ => false,
        };
        if is_break {
            found.extend(u32::try_from(at));
        }
    }
    found
}

fn neighbours(leaves: &Leaves) -> Vec<Neighbours> {
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); leaves.parents.len()];
    let mut children: Vec<Vec<u32>> = vec![Vec::new(); leaves.parents.len()];
    for (number, leaf) in (0..).zip(&leaves.leaves) {
        if let Some(group) = members.get_mut(leaf.group as usize) {
            group.push(number);
        }
        let parent = leaves
            .parents
            .get(leaf.group as usize)
            .copied()
            .unwrap_or_default();
        if parent != leaf.group
            && let Some(group) = children.get_mut(parent as usize)
        {
            group.push(number);
        }
    }
    let empty = Vec::new();
    (0..)
        .zip(&leaves.leaves)
        .map(|(number, leaf)| {
            let group = leaf.group as usize;
            let parent = leaves.parents.get(group).copied().unwrap_or_default();
            let mut related = Vec::new();
            if parent != leaf.group {
                related = nearest(number, members.get(parent as usize).unwrap_or(&empty));
            }
            if parent != leaf.group || members.get(group).is_some_and(|own| own.len() > 1) {
                related.extend(nearest(number, children.get(group).unwrap_or(&empty)));
            }
            let last = leaf.pointer.rsplit('/').next().unwrap_or_default();
            Neighbours {
                own: nearest(number, members.get(group).unwrap_or(&empty)),
                related,
                is_in_list: !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
            }
        })
        .collect()
}

/// Returns the leaves that stand nearest to one in the document, nearest first.
fn nearest(leaf: u32, leaves: &[u32]) -> Vec<u32> {
    let at = leaves.partition_point(|other| *other < leaf);
    let from = at.saturating_sub(NEIGHBOURS);
    let upto = (at + NEIGHBOURS + 1).min(leaves.len());
    let mut near: Vec<u32> = leaves
        .get(from..upto)
        .unwrap_or_default()
        .iter()
        .copied()
        .filter(|other| *other != leaf)
        .collect();
    near.sort_by_key(|other| (other.abs_diff(leaf), *other));
    near
}
