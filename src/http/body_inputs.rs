//! Inputs of a JSON body, of which there may be a million.

use crate::long_work::SlowDrop;
use crate::types::{Input, Item};

/// Number of inputs that are dropped within about a millisecond.
const MAX_QUICK_DROP: usize = 4_000;

/// Returns the inputs of a body. Those that are not taken, because the request fails or its client leaves, are dropped off the worker if
/// they are many.
pub fn body_inputs(items: Vec<Item>) -> impl Iterator<Item = Input> + Send + 'static {
    let is_slow = |items: &std::vec::IntoIter<Item>| items.len() > MAX_QUICK_DROP;
    let mut items = SlowDrop::new(items.into_iter(), is_slow);
    let inputs = std::iter::from_fn(move || items.next()).enumerate();
    inputs.map(|(index, item)| Input::new(index, item))
}
