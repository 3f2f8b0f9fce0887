//! Shares of callers in the calls in flight.

use std::collections::VecDeque;

use futures_util::FutureExt;

use super::simulation::Random;
use super::*;

const GREEDY: CallerId = CallerId(1);

fn set_callers(limits: &Limits, count: u64) {
    let callers = (1..=count).map(|id| (CallerId(id), Quota::default()));
    limits.set_callers(callers.collect());
}

/// Lets a request make a call, if it may go out now.
fn call(request: &Admission, model: &Arc<Model>) -> Option<Permit> {
    let entered = request.enter(&permit_request(model)).now_or_never();
    entered.map(|permit| permit.expect("it is not denied"))
}

/// Lets a request make as many calls as may go out now.
fn call_all(request: &Admission, model: &Arc<Model>) -> Vec<Permit> {
    std::iter::from_fn(|| call(request, model)).collect()
}

/// Makes a short call, after which its caller has its fair share.
fn make_call(request: &Admission, model: &Arc<Model>) {
    answer(call(request, model).expect("it has no call"));
}

fn answer(mut permit: Permit) {
    permit.begin();
    permit.release(CallReport::new(Health::Success));
}

#[test]
fn a_caller_with_calls_leaves_an_eighth_of_the_slots_to_callers_that_have_none() {
    let limits = limits(64, 1_000);
    set_callers(&limits, 10);
    let model = model(&limits);
    let greedy = admit(&limits, GREEDY, 100);
    let mut held = call_all(&greedy, &model);
    assert_eq!(held.len(), 24, "how long they take is not known");
    held.pop().into_iter().for_each(answer);
    held.extend(call_all(&greedy, &model));
    assert_eq!(held.len(), 56);
    let mut waiting = greedy.enter(&permit_request(&model));
    assert!((&mut waiting).now_or_never().is_none());
    let [reason] = limits.holds().try_into().unwrap();
    assert_eq!(
        (reason.reason, reason.retry_in),
        (HoldReason::CallerShare, None)
    );
    let others: Vec<_> = (2..=9)
        .map(|id| admit(&limits, CallerId(id), 100))
        .collect();
    let mut of_others = Vec::new();
    for other in &others {
        of_others.push(call(other, &model).expect("it has no call yet"));
        assert!(call(other, &model).is_none(), "it has one");
    }
    let last = admit(&limits, CallerId(10), 1);
    assert!(call(&last, &model).is_none(), "every slot is taken");
    // Calls of others that end make room for the caller with the most.
    drop(of_others.pop());
    assert!((&mut waiting).now_or_never().is_none());
    drop(of_others);
    assert!((&mut waiting).now_or_never().is_none(), "eight are free");
    held.truncate(20);
    assert!((&mut waiting).now_or_never().is_some());
}

#[test]
fn only_callers_that_share_leave_slots() {
    let limits = limits(64, 1_000);
    let model = model(&limits);
    let taken = |caller| call_all(&admit(&limits, caller, 100), &model).len();
    assert_eq!(taken(ANYONE), 64, "there are no callers");
    set_callers(&limits, 1);
    assert_eq!(taken(GREEDY), 64, "it is the only one");
    set_callers(&limits, 2);
    make_call(&admit(&limits, GREEDY, 1), &model);
    assert_eq!(taken(GREEDY), 56);
    let quota = Quota {
        max_in_flight: non_zero(60),
        ..Quota::default()
    };
    limits.set_callers(vec![(GREEDY, quota), (CallerId(2), Quota::default())]);
    assert_eq!(taken(GREEDY), 60, "the operator has divided the slots");
}

#[test]
fn slots_of_a_provider_and_of_a_model_are_left_to_others_too() {
    let pools = [Some(16), None].map(|max| pool(vec![KeyQuota::default()], max));
    let limits = limits_with(64, 1_000, pools.to_vec());
    set_callers(&limits, 2);
    let of_provider = model(&limits);
    let limited = ModelLimits {
        max_in_flight: Some(8),
        price: None,
    };
    let of_model = limits.configured_model(PoolId(1), "limited", limited);
    let other_model = limits.configured_model(PoolId(1), "m", ModelLimits::default());
    let [greedy, other] = [GREEDY, CallerId(2)].map(|id| admit(&limits, id, 100));
    let _held = [(&of_provider, 14), (&of_model, 7)].map(|(model, most)| {
        make_call(&greedy, model);
        let held = call_all(&greedy, model);
        assert_eq!(held.len(), most);
        let mut waiting = greedy.enter(&permit_request(model));
        assert!((&mut waiting).now_or_never().is_none());
        assert!(call(&greedy, &other_model).is_some(), "of another limit");
        (held, call(&other, model).expect("it has no call there"))
    });
}

#[test]
fn a_caller_alone_takes_the_only_slot_and_one_of_two() {
    for slots in [1, 2] {
        let limits = limits(slots, 100);
        set_callers(&limits, 2);
        let model = model(&limits);
        let [greedy, other] = [GREEDY, CallerId(2)].map(|id| admit(&limits, id, 9));
        let held = call_all(&greedy, &model);
        assert_eq!(held.len(), 1);
        assert_eq!(call(&other, &model).is_some(), slots == 2);
    }
}

#[test]
fn items_that_leave_slots_to_others_do_not_enlarge_the_waiting_room() {
    let limits = limits(64, 10);
    set_callers(&limits, 2);
    let model = model(&limits);
    let greedy = admit_empty(&limits, GREEDY, 1_000);
    assert!(greedy.reserve_place(1));
    make_call(&greedy, &model);
    let mut held = Vec::new();
    for items in 2..=57 {
        held.push(call(&greedy, &model).unwrap());
        assert!(greedy.reserve_place(items));
    }
    let waiting = reserve_all(&greedy) - held.len();
    assert!((5..=6).contains(&waiting), "half of the room: {waiting}");
}

#[test]
fn a_caller_without_calls_finds_a_slot_while_up_to_three_others_take_what_they_get() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let limits = limits(64, 10_000);
        set_callers(&limits, 4);
        let model = model(&limits);
        let greedy: Vec<_> = (2..=4)
            .map(|id| admit(&limits, CallerId(id), 1_000))
            .collect();
        let newcomer = admit(&limits, GREEDY, 1);
        let mut held = Vec::new();
        let mut waiting = Vec::new();
        for step in 0..400 {
            let caller = &greedy[random.below(greedy.len())];
            match random.below(8) {
                0 => drop((!held.is_empty()).then(|| held.swap_remove(random.below(held.len())))),
                1 => waiting.push(caller.enter(&permit_request(&model))),
                _ => held.extend(call_all(caller, &model)),
            }
            waiting.retain_mut(|item| match item.now_or_never() {
                Some(permit) => {
                    held.push(permit.unwrap());
                    false
                }
                None => true,
            });
            let call = call(&newcomer, &model);
            assert!(call.is_some(), "seed {seed}, step {step}");
        }
    }
}

#[test]
fn a_rejection_due_to_own_fields_does_not_pause_a_caller_that_is_active() {
    for is_active in [true, false] {
        let limits = limits(64, 1_000);
        set_callers(&limits, 2);
        let model = model(&limits);
        let [greedy, other] = [GREEDY, CallerId(2)].map(|caller| admit(&limits, caller, 100));
        // The callers that are active are counted ten times a second.
        for request in [&greedy, if is_active { &other } else { &greedy }, &greedy] {
            make_call(request, &model);
            std::thread::sleep(Duration::from_millis(110));
        }
        let mut permit = call(&greedy, &model).unwrap();
        permit.begin();
        permit.release(CallReport {
            pause: Some(Pause::Until(Instant::now() + Duration::from_secs(3_600))),
            is_callers_own: true,
            ..CallReport::new(Health::Neutral)
        });
        let may_call = |request: &Admission| {
            let entered = request.enter(&permit_request(&model)).now_or_never();
            matches!(entered, Some(Ok(_)))
        };
        assert_eq!([&greedy, &other].map(may_call), [false, is_active]);
    }
}

#[test]
fn callers_share_turns_by_what_their_answers_took() {
    let quota = KeyQuota {
        requests: None,
        tokens_per_minute: non_zero(u32::MAX),
    };
    let limits = limits_with(1, 1_000, vec![pool(vec![quota], None)]);
    set_callers(&limits, 2);
    let model = model(&limits);
    let request = PermitRequest {
        text_tokens: 100,
        ..permit_request(&model)
    };
    let outputs = [30_000, 500];
    let callers = [1, 2].map(|id| admit(&limits, CallerId(id), 10));
    // The call that is in flight, and the output of its answer.
    let mut in_flight = (call(&callers[0], &model).unwrap(), 500);
    let mut queues = callers.each_ref().map(|caller| {
        let waiting = [(); 3].map(|()| caller.enter(&request));
        VecDeque::from(waiting)
    });
    let mut used = [0, 0];
    for _ in 0..1_000 {
        let (mut permit, output) = in_flight;
        permit.begin();
        let usage = TokenUsage { input: 100, output };
        permit.release(CallReport {
            spent: UsageReport::Tokens(usage),
            ..CallReport::new(Health::Success)
        });
        let next = queues.iter_mut().enumerate().find_map(|(index, queue)| {
            let permit = queue.front_mut()?.now_or_never()?;
            queue.pop_front();
            queue.push_back(callers[index].enter(&request));
            Some((index, permit.unwrap()))
        });
        let (index, permit) = next.expect("the slot is taken at once");
        in_flight = (permit, outputs[index]);
        used[index] += outputs[index];
    }
    let [long, short] = used;
    assert!(long < 2 * short && short < 2 * long, "{long} and {short}");
}
