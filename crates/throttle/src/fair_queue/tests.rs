use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

type Numbers = Queue<u8, u8, u32>;

fn push(queue: &mut Numbers, caller: u8, key: u8, item: u32) -> Ticket<u8, u8> {
    queue.push(Class::Direct, caller, key, QueueEnd::Back, item)
}

fn push_single(queue: &mut Numbers, caller: u8, key: u8, item: u32) {
    queue.push(Class::Direct, caller, key, QueueEnd::Single, item);
}

fn pop(queue: &mut Numbers) -> Option<u32> {
    queue
        .next(|_, _| Decision::Serve((), 1))
        .map(|(item, ())| item)
}

fn drain(queue: &mut Numbers) -> Vec<u32> {
    std::iter::from_fn(|| pop(queue)).collect()
}

#[test]
fn a_single_beside_twenty_batches_is_first_or_second() {
    for served in 0..100 {
        for own_key in [false, true] {
            let mut queue = Numbers::default();
            for batch in 0..20 {
                for _ in 0..10 {
                    push(&mut queue, 1, batch, 0);
                }
            }
            for _ in 0..served {
                pop(&mut queue);
            }
            push_single(&mut queue, if own_key { 2 } else { 1 }, 99, 1);
            let next: Vec<_> = drain(&mut queue).into_iter().take(2).collect();
            assert!(next.contains(&1), "after {served}");
        }
    }
}

#[test]
fn expensive_singles_in_a_row_get_no_more_than_their_share() {
    let mut queue = Numbers::default();
    for _ in 0..5_000 {
        push(&mut queue, 1, 1, 100);
    }
    let (mut single, mut batch) = (0, 0);
    for request in 0..=255 {
        push_single(&mut queue, 2, request, 10_000);
        while let Some((cost, ())) = queue.next(|_, item| Decision::Serve((), u64::from(*item))) {
            *(if cost == 100 { &mut batch } else { &mut single }) += cost;
            if cost == 10_000 || batch > 400_000 {
                break;
            }
        }
    }
    assert!(
        single <= batch + 20_000,
        "{single} of the singles, {batch} of the batch"
    );
}

#[test]
fn a_caller_that_has_just_used_less_than_a_typical_item_still_counts_as_new() {
    let mut queue = Numbers::default();
    let pop = |queue: &mut Numbers| {
        let served = queue.next(|_, item| Decision::Serve((), u64::from(*item)));
        served.map(|(cost, ())| cost)
    };
    for caller in 1..=10 {
        // Different costs, so that their turns do not coincide.
        push(&mut queue, caller, caller, u32::from(caller) * 10);
        for _ in 0..30 {
            push(&mut queue, caller, caller, 100);
        }
    }
    for _ in 0..200 {
        pop(&mut queue);
    }
    for request in 0..20 {
        push_single(&mut queue, 99, request, 50);
        let next = [pop(&mut queue), pop(&mut queue)];
        assert!(next.contains(&Some(50)), "{request}: {next:?}");
    }
}

#[test]
fn the_actual_cost_of_a_turn_counts_for_class_caller_and_request() {
    let mut queue = Numbers::default();
    for item in 0..30 {
        push(&mut queue, 1, 1, 100 + item);
        push(&mut queue, 1, 2, 200 + item);
        push(&mut queue, 2, 3, 300 + item);
        queue.push(Class::Job, 3, 4, QueueEnd::Back, 400 + item);
    }
    // Nobody has an advantage any more.
    while queue.len > 80 {
        pop(&mut queue);
    }
    queue.settle(Class::Direct, 1, 1, 1, 21);
    let next: Vec<_> = (0..20).map(|_| pop(&mut queue).unwrap() / 100).collect();
    let count = |hundred| next.iter().filter(|item| **item == hundred).count();
    let counts = [1, 2, 3, 4].map(count);
    assert!(counts[0] == 0 && counts[1] < counts[2], "{counts:?}");
    assert!(counts[3] >= 4, "its class has paid less: {counts:?}");
}

#[test]
fn a_parked_item_keeps_its_turn() {
    let mut queue = Numbers::default();
    for caller in [3, 1, 2] {
        push_single(&mut queue, caller, caller, caller.into());
    }
    assert!(queue.next(|_, _| Decision::<()>::ParkQueue).is_none());
    queue.unpark_queues(|_| true);
    assert_eq!(drain(&mut queue), [3, 1, 2]);
}

#[test]
fn newcomers_do_not_starve_the_backlog() {
    let mut queue = Numbers::default();
    for n in 0..50 {
        push(&mut queue, 1, 1, n);
    }
    let mut served = 0;
    for single in 0..100_u8 {
        push_single(&mut queue, 1, 2 + single, 1000);
        push_single(&mut queue, 1, 102 + single, 1000);
        served += usize::from(pop(&mut queue) < Some(1000));
    }
    assert!(served >= 49, "{served} of the batch in 100 order");
}

#[test]
fn callers_share_equally_whatever_the_number_of_their_requests() {
    let mut queue = Numbers::default();
    for request in 0..10 {
        for n in 0..10 {
            push(&mut queue, 1, request, 100 + n);
        }
    }
    for n in 0..20 {
        push(&mut queue, 2, 99, n);
    }
    let first: Vec<_> = (0..40).filter_map(|_| pop(&mut queue)).collect();
    assert_eq!(first.iter().filter(|n| **n < 100).count(), 20);
}

#[test]
fn a_request_with_one_waiting_item_at_a_time_gets_an_equal_share() {
    let mut queue = Numbers::default();
    let mut served = [0; 11];
    for _ in 0..500 {
        push(&mut queue, 1, 10, 10);
    }
    for narrow in 0..10 {
        push(&mut queue, 1, narrow, narrow.into());
    }
    for _ in 0..330 {
        let key = pop(&mut queue).unwrap();
        served[key as usize] += 1;
        if let Some(narrow) = u8::try_from(key).ok().filter(|key| *key < 10) {
            push(&mut queue, 1, narrow, key);
        }
    }
    assert!(
        served.iter().all(|times| (29..=31).contains(times)),
        "{served:?}"
    );
}

#[test]
fn direct_requests_and_jobs_share_turns_four_to_one() {
    let mut queue = Numbers::default();
    for _ in 0..100 {
        queue.push(Class::Direct, 1, 1, QueueEnd::Back, 0);
        queue.push(Class::Job, 1, 2, QueueEnd::Back, 1);
    }
    let jobs = (0..100).filter(|_| pop(&mut queue) == Some(1)).count();
    assert!((19..=21).contains(&jobs), "{jobs} of 100 order");
}

#[test]
fn a_requeued_item_is_the_first_of_its_request() {
    let mut queue = Numbers::default();
    push(&mut queue, 1, 1, 1);
    queue.push(Class::Direct, 1, 1, QueueEnd::Front, 0);
    assert_eq!(drain(&mut queue), [0, 1]);
}

#[test]
fn parked_items_block_no_others_and_return_when_unparked() {
    let mut queue = Numbers::default();
    for caller in [1, 2] {
        for key in [10, 20] {
            push(
                &mut queue,
                caller,
                key,
                u32::from(caller) * 100 + u32::from(key),
            );
        }
    }
    let offer = |caller: u8, item: &u32| match (caller, *item) {
        (1, _) => Decision::ParkCaller,
        (_, 220) => Decision::ParkQueue,
        _ => Decision::Serve((), 1),
    };
    assert_eq!(queue.next(offer).map(|(item, ())| item), Some(210));
    assert!(queue.next(offer).is_none() && queue.is_idle());
    assert_eq!(queue.len(), 3);
    queue.unpark_caller(1);
    assert_eq!(
        [pop(&mut queue), pop(&mut queue), pop(&mut queue)],
        [Some(110), Some(120), None]
    );
    queue.unpark_queues(|key| key == 20);
    assert_eq!([pop(&mut queue), pop(&mut queue)], [Some(220), None]);
    assert!(queue.len() == 0 && queue.order.is_empty());
}

#[test]
fn a_new_queue_unparks_a_caller_whose_other_queues_are_parked() {
    let mut queue = Numbers::default();
    push(&mut queue, 1, 1, 1);
    assert!(queue.next(|_, _| Decision::<()>::ParkQueue).is_none());
    push(&mut queue, 1, 2, 2);
    assert_eq!(pop(&mut queue), Some(2));
}

proptest! {
    /// Checks that no item is lost or returned twice, and that each key keeps its order, whatever is queued, removed and parked.
    #[test]
    fn no_item_is_lost_and_order_is_kept(steps in prop::collection::vec((0_u8..9, 0_u8..4, 0_u8..4, 1_u64..50), 1..400)) {
        let mut queue = Numbers::default();
        let mut waiting = HashMap::new();
        let mut tickets = Vec::new();
        for (n, (step, caller, key, cost)) in (0_u32..).zip(steps) {
            let class = if caller < 3 { Class::Direct } else { Class::Job };
            match step {
                0..=2 => {
                    tickets.push((queue.push(class, caller, key, QueueEnd::Back, n), n));
                    waiting.insert(n, (caller, key));
                }
                3 | 4 => {
                    let mut offered = 0;
                    let popped = queue.next(|_, _| {
                        offered += 1;
                        match (step, offered % 3) {
                            (3, _) | (_, 0) => Decision::Serve((), cost),
                            (_, 1) => Decision::ParkQueue,
                            _ => Decision::ParkCaller,
                        }
                    });
                    if let Some((popped, ())) = popped {
                        let key = waiting.remove(&popped).unwrap();
                        prop_assert!(waiting.iter().all(|(other, its)| *its != key || *other > popped));
                    }
                }
                5 => {
                    let before = waiting.len();
                    waiting.retain(|_, its| *its != (caller, key));
                    prop_assert_eq!(queue.remove_all(class, caller, key..=key).len(), before - waiting.len());
                }
                6 => queue.unpark_caller(caller),
                7 => queue.unpark_queues(|its| its == key),
                _ => if let Some((ticket, n)) = tickets.pop() {
                    prop_assert_eq!(queue.remove(ticket).is_some(), waiting.remove(&n).is_some());
                },
            }
            prop_assert_eq!(queue.len(), waiting.len());
            let queued: usize = queue.heads().map(|(_, count, _)| count).sum();
            prop_assert_eq!(queued, waiting.len());
        }
        for caller in 0..4 {
            queue.unpark_caller(caller);
        }
        queue.unpark_queues(|_| true);
        prop_assert_eq!(drain(&mut queue).len(), waiting.len());
        prop_assert!(queue.direct.callers.is_empty() && queue.jobs.callers.is_empty());
        prop_assert!(queue.order.is_empty() && queue.direct.order.is_empty() && queue.jobs.order.is_empty());
    }

    /// The costs served to backlogged requests never differ by more than twice the most expensive item.
    #[test]
    fn backlogged_requests_share_equally_by_cost(costs in prop::collection::vec(1_u64..100, 2..8), rounds in 1_usize..200) {
        let mut queue = Numbers::default();
        for request in 0..costs.len() {
            for _ in 0..rounds {
                push(&mut queue, 0, u8::try_from(request).unwrap(), u32::try_from(request).unwrap());
            }
        }
        let mut served = vec![0_u64; costs.len()];
        for _ in 0..rounds {
            let (request, ()) = queue.next(|_, item| Decision::Serve((), costs[*item as usize])).unwrap();
            served[request as usize] += costs[request as usize];
            let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
            prop_assert!(most - least <= 2 * costs.iter().max().unwrap(), "{:?}", served);
        }
    }

    /// However much waits, a newcomer is the next or the next but one.
    #[test]
    fn a_newcomer_waits_for_at_most_one_turn(queues in prop::collection::vec((0_u8..5, 0_u8..20, 1_usize..5), 1..60), served in 0_usize..100) {
        let mut queue = Numbers::default();
        for (caller, key, items) in queues {
            for _ in 0..items {
                push(&mut queue, caller, key, 0);
            }
        }
        for _ in 0..served {
            pop(&mut queue);
        }
        push_single(&mut queue, 9, 99, 1);
        let next: Vec<_> = (0..2).filter_map(|_| pop(&mut queue)).collect();
        prop_assert!(next.contains(&1));
    }
}

#[test]
fn items_are_removed_from_the_queues_that_are_selected_and_others_are_not_looked_at() {
    let mut queue = Numbers::default();
    for key in 1..=3 {
        for (item, caller) in (0..6).zip([0, 1].into_iter().cycle()) {
            push(&mut queue, caller, key, item);
        }
    }
    let job = queue.push(Class::Job, 1, 2, QueueEnd::Back, 9);
    let mut looked_at = 0;
    let removed = queue.remove_some(
        |_, caller, key, _| (key == 2).then_some(caller),
        |caller, item| {
            looked_at += 1;
            (*item > 3).then_some(*caller)
        },
    );
    assert_eq!(removed, [(4, 0), (5, 1), (9, 1)]);
    assert_eq!((looked_at, queue.len()), (7, 16));
    assert_eq!(queue.remove(job), None);
    let mut rest = drain(&mut queue);
    rest.sort_unstable();
    assert_eq!(rest, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5]);
}
