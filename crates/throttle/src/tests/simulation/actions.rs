//! Actions of callers and of the provider in the simulation.

use super::*;

impl Simulation {
    pub(super) fn arrive(&mut self) {
        let caller = CallerId(1 + self.random.next() % CALLERS);
        let is_single = self.random.chance(50);
        let class = if !is_single && self.random.chance(50) {
            Class::Job
        } else {
            Class::Direct
        };
        let asked = AdmissionRequest {
            class,
            pool: PoolId(self.random.below(2)),
            window: if is_single {
                1
            } else {
                1 + self.random.below(24)
            },
            is_single,
            has_price: true,
        };
        let before = self.state.queued();
        match self.state.admit(caller, &asked, self.now) {
            Ok(id) => self.requests.push(Request {
                id,
                caller,
                class,
                window: asked.window,
                places: usize::from(is_single),
                in_flight: Arc::new(()),
            }),
            Err(Refused::BudgetExhausted { .. }) => {}
            Err(refused) => assert!(
                before > 0,
                "an empty waiting room refuses nobody: {refused}"
            ),
        }
    }

    /// Lets an item of a request wait for a permit.
    pub(super) fn enter(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let index = self.random.below(self.requests.len());
        let model = if self.random.chance(5) {
            // A name that a caller makes up.
            let name = format!("made-up-{}", self.random.next());
            self.state.model(PoolId(0), &name, None, self.now)
        } else {
            Arc::clone(&self.models[self.random.below(self.models.len())])
        };
        let request = &mut self.requests[index];
        let id = request.id;
        let busy = self
            .waiting
            .iter()
            .filter(|item| item.request == id)
            .count()
            + self.flying.iter().filter(|item| item.request == id).count();
        if busy >= request.window {
            return;
        }
        if busy >= request.places {
            let is_first = request.places == 0;
            if !self
                .state
                .take_place(request.caller, model.pool(), is_first, self.now)
            {
                return;
            }
            request.places += 1;
        }
        let handle = RequestHandle {
            class: request.class,
            caller: request.caller,
            id,
            is_single: request.window == 1,
            in_flight: &request.in_flight,
        };
        let asked = PermitRequest {
            priority: if self.random.chance(20) {
                Priority::Requeued
            } else {
                Priority::First
            },
            text_tokens: 1 + self.random.next() % 500,
            wait_budget: match self.random.below(3) {
                0 => WaitBudget::NONE,
                1 => PATIENT,
                _ => WaitBudget::new(Duration::MAX, Duration::MAX).through_outages(),
            },
            ..permit_request(&model)
        };
        match self.state.request_permit(handle, &asked, self.now) {
            EnterResult::Granted(call) => self.fly(id, call),
            EnterResult::Denied(_) => {}
            EnterResult::Waiting(ticket, answered) => self.waiting.push(Waiting {
                request: id,
                model,
                ticket,
                answered,
            }),
        }
    }

    /// Checks a call that was granted, and lets it fly.
    fn fly(&mut self, request: u64, mut call: Box<GrantedCall>) {
        let charge = &call.charge;
        let (pool, key) = (charge.model.pool().0, charge.key);
        if let Some((until, _)) = self.pauses.get(&(pool, key, charge.model.id)) {
            assert!(
                *until <= self.now,
                "a call goes out {:?} before the end of a pause",
                *until - self.now
            );
        }
        if pool == 0 {
            let times = self.granted.entry((pool, key)).or_default();
            times.push_back(self.now);
            while times
                .front()
                .is_some_and(|time| self.now - *time >= Duration::from_secs(60))
            {
                times.pop_front();
            }
            assert!(
                times.len() <= (PER_MINUTE + BURST) as usize,
                "{} calls in a minute",
                times.len()
            );
        }
        let caller = &self.state.callers[&charge.caller];
        let limit = self.max_in_flight[&charge.caller];
        assert!(caller.in_flight.count() <= limit, "the caller's limit");
        self.accounts.record_start(&self.state, charge, self.now);
        let caller = charge.caller;
        call.was_sent = true;
        self.flying.push(Flying { request, call });
        let flying = self.flying.iter().map(|item| &item.call.charge);
        self.accounts.check_budget(&self.state, caller, flying);
    }

    /// Ends a call with a random report.
    pub(super) fn answer(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let index = self.random.below(self.flying.len());
        let Flying { call, .. } = self.flying.swap_remove(index);
        let usage = TokenUsage {
            input: self.random.next() % 1_000,
            output: self.random.next() % 1_000,
        };
        let mut report = CallReport {
            spent: UsageReport::Tokens(usage),
            ..CallReport::new(Health::Success)
        };
        match self.random.below(100) {
            0..60 => {}
            60..80 => {
                let wait =
                    Duration::from_millis(1 + self.random.next() % (MAX_PAUSE_SECONDS * 1_000));
                report = CallReport {
                    pause: Some(if self.random.chance(50) {
                        Pause::Until(self.now + wait)
                    } else {
                        Pause::Unspecified
                    }),
                    pauses_key: self.random.chance(20),
                    is_overload: true,
                    ..CallReport::new(Health::Neutral)
                };
            }
            80..92 => report = CallReport::new(Health::Failure),
            92..95 => {
                let reason = OutageReason::ALL[self.random.below(5)];
                let outage = OutageReport {
                    reason,
                    detail: "no".into(),
                    input: self.random.next(),
                    is_doubtful: reason.is_doubtful() || self.random.chance(50),
                };
                report = CallReport {
                    outage: Some(outage),
                    is_callers_own: self.random.chance(50),
                    ..CallReport::new(Health::Neutral)
                };
            }
            _ => report = CallReport::new(Health::Neutral),
        }
        self.end_call(call, &report);
    }

    /// Records what a report says of pauses, and settles the call.
    pub(super) fn end_call(&mut self, mut call: Box<GrantedCall>, report: &CallReport) {
        self.answers += 1;
        let charge = &call.charge;
        let (pool, key, began) = (charge.model.pool().0, charge.key, charge.began);
        let id = (pool, key, charge.model.id);
        // The answer to a call that began after the provider's last word is its newer word.
        let is_newer = self.pauses.get(&id).is_none_or(|(_, said)| *said < began);
        let is_word = report.pause.is_some() || report.health == Health::Success;
        if is_newer && is_word {
            self.pauses.remove(&id);
        }
        if let Some(Pause::Until(until)) = report.pause
            && self.pauses.get(&id).is_none_or(|(old, _)| *old < until)
        {
            self.pauses.insert(id, (until, self.now));
        }
        let used = match report.spent {
            UsageReport::Nothing => TokenUsage::default(),
            UsageReport::Unknown => charge.unreported_usage(),
            UsageReport::Tokens(usage) => usage,
        };
        self.accounts.record_end(charge, used, self.now);
        let held = call.held.take().unwrap();
        self.state.settle(&call.charge, held, report, self.now);
    }

    pub(super) fn leave_queue(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let index = self.random.below(self.waiting.len());
        let item = self.waiting.swap_remove(index);
        assert!(
            self.state.stop_waiting(&item.model, item.ticket),
            "an item that was not answered waits"
        );
    }

    pub(super) fn cancel_call(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let index = self.random.below(self.flying.len());
        let Flying { call, .. } = self.flying.swap_remove(index);
        self.end_call(call, &CallReport::cancelled(true));
    }

    /// Ends a request at once: its items leave the queue, and its calls are cancelled.
    pub(super) fn end_request(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let index = self.random.below(self.requests.len());
        let request = self.requests.swap_remove(index);
        let removed = self
            .state
            .remove_request(request.class, request.caller, request.id);
        let waiting = self.waiting.len();
        self.waiting.retain(|item| item.request != request.id);
        assert_eq!(removed.len(), waiting - self.waiting.len());
        let (ended, flying) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition(|item: &Flying| item.request == request.id);
        self.flying = flying;
        let ended: Vec<Flying> = ended;
        for Flying { call, .. } in ended {
            self.end_call(call, &CallReport::cancelled(true));
        }
        self.state.release_places(request.caller, request.places);
    }

    pub(super) fn pass_time(&mut self) {
        let random = Duration::from_millis(self.random.next() % 3_000);
        self.now = match self.wake.filter(|_| self.random.chance(50)) {
            Some(wake) => wake.max(self.now),
            None => self.now + random,
        };
    }

    /// Grants what can be granted, and takes the answers.
    pub(super) fn dispatch(&mut self) {
        self.wake = self.state.dispatch(self.now);
        if self.state.has_callers_that_await_slots() {
            // Nothing else may happen when the calls of others count as old.
            let soon = self.now + Duration::from_secs(1);
            let is_soon = |wake| wake > self.now && wake <= soon;
            assert!(self.wake.is_some_and(is_soon), "{:?}", self.wake);
        }
        assert!(self.state.take_unclaimed().is_empty());
        let mut rest = Vec::new();
        for mut item in std::mem::take(&mut self.waiting) {
            match item.answered.try_recv() {
                Ok(Ok(call)) => self.fly(item.request, call),
                Ok(Err(_)) => {}
                Err(oneshot::error::TryRecvError::Empty) => rest.push(item),
                Err(oneshot::error::TryRecvError::Closed) => panic!("an item is never answered"),
            }
        }
        self.waiting = rest;
        // Items that have ended return their places.
        for request in &mut self.requests {
            let busy = self
                .waiting
                .iter()
                .filter(|item| item.request == request.id)
                .count()
                + self
                    .flying
                    .iter()
                    .filter(|item| item.request == request.id)
                    .count();
            let surplus = request
                .places
                .saturating_sub(busy.max(usize::from(request.window == 1)));
            request.places -= surplus;
            self.state.release_places(request.caller, surplus);
        }
    }
}
