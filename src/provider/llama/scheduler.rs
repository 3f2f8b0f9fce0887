//! Continuous batching: a thread that owns the model's context and decodes all answers together,
//! step by step.
//!
//! Answers join and leave between two steps. A step decodes the next token of each answer, and
//! fills up with prompts in chunks, so that a long prompt does not block the others. Prefix
//! caching: a prompt copies the prefix that it shares with another slot instead of computing it
//! again, and waits for a prefix that is just being computed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Mutex, PoisonError, TryLockError};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;
use toktrie::TokEnv;

use super::slot::{Prepared, Slot, SlotAnswer, SlotProgress};
use super::types::GenerateError;

/// Maximum number of tokens in one step. A step of this size takes some tenths of a second on two
/// cores, and cancellation waits for its end.
pub const STEP_TOKENS: usize = 128;

/// Minimum number of tokens to save for a prompt to wait until another slot has computed their
/// common prefix.
const MIN_WAIT_TOKENS: usize = 16;

/// Number of admissions for each slot after which the cache of an unused slot counts as worthless.
const STALE_AFTER: u64 = 4;

/// Scheduler of one decoding thread.
pub struct Scheduler<'model> {
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    vocabulary: TokEnv,
    slots: Vec<Slot>,
    admissions: u64,
    /// True if the KV cache can be truncated and copied; a recurrent model's cannot.
    reuses_prefixes: bool,
}

/// Answer whose next token this step computes.
struct DueAnswer {
    slot: usize,
    /// Index in the batch of the token whose logits determine the next one.
    index: i32,
}

impl<'model> Scheduler<'model> {
    /// Creates a scheduler. The context must have been created for as many slots.
    pub fn new(
        context: LlamaContext<'model>,
        vocabulary: TokEnv,
        slots: usize,
        reuses_prefixes: bool,
    ) -> Self {
        let batch = LlamaBatch::new(STEP_TOKENS, 1);
        let slots = std::iter::repeat_with(Slot::default).take(slots).collect();
        Self {
            context,
            batch,
            vocabulary,
            slots,
            admissions: 0,
            reuses_prefixes,
        }
    }

    /// Decodes until `prepared` is closed or `stop` is set; unfinished answers are then dropped.
    pub fn run(&mut self, prepared: &Mutex<Receiver<Prepared>>, stop: &Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            self.drop_abandoned();
            if !self.admit_all(prepared) {
                return;
            }
            if let Err(error) = self.step() {
                self.fail_all(&error);
            }
        }
    }

    fn drop_abandoned(&mut self) {
        for slot in &mut self.slots {
            slot.answer.take_if(|answer| answer.is_abandoned());
        }
    }

    /// Admits prepared requests to free slots, and waits for one if all slots are free. Returns
    /// false if no more can come.
    fn admit_all(&mut self, prepared: &Mutex<Receiver<Prepared>>) -> bool {
        while let Some(free) = self.cheapest_free_slot() {
            let is_idle = self.slots.iter().all(|slot| slot.answer.is_none());
            let next = if is_idle {
                wait_for_next(prepared)
            } else {
                try_next(prepared)
            };
            match next {
                Ok(next) => self.admit(free, next),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return !is_idle,
            }
        }
        true
    }

    /// Returns the free slot whose cache is worth least. Prefixes are copied between slots, so it
    /// need not be the most similar one.
    fn cheapest_free_slot(&self) -> Option<usize> {
        let stale = STALE_AFTER * self.slots.len() as u64;
        let value = |slot: &Slot| {
            let is_fresh = self.admissions.saturating_sub(slot.last_used) < stale;
            if is_fresh {
                self.unshared_tokens(slot)
            } else {
                0
            }
        };
        let free = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.answer.is_none());
        free.min_by_key(|(_, slot)| (value(slot), slot.last_used))
            .map(|(index, _)| index)
    }

    /// Returns the number of a slot's cached tokens that no other slot holds.
    fn unshared_tokens(&self, slot: &Slot) -> usize {
        let others = self
            .slots
            .iter()
            .filter(|other| !std::ptr::eq(*other, slot));
        let shared = others
            .map(|other| common_prefix(&slot.cached, &other.cached))
            .max()
            .unwrap_or(0);
        slot.cached.len() - shared
    }

    /// Starts a prepared request in a free slot.
    fn admit(&mut self, index: usize, prepared: Prepared) {
        let (answer, progress) = SlotAnswer::new(prepared);
        if let SlotProgress::Done(finish) = progress {
            return answer.finish(finish, &self.vocabulary);
        }
        self.admissions += 1;
        let admissions = self.admissions;
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        let kept = if self.reuses_prefixes {
            common_prefix(&slot.cached, answer.reusable_prefix())
        } else {
            0
        };
        slot.last_used = admissions;
        slot.answer = Some(answer);
        self.truncate(index, kept);
    }

    /// Removes a slot's cached tokens from `keep` on.
    fn truncate(&mut self, index: usize, keep: usize) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        if slot.cached.len() == keep {
            return;
        }
        slot.cached.truncate(keep);
        if !clear_sequence(&mut self.context, index, keep) {
            slot.cached.clear();
            clear_sequence(&mut self.context, index, 0);
        }
    }

    /// Decodes one batch, and advances the answers whose next token it computes.
    fn step(&mut self) -> Result<(), String> {
        let due = self.fill_batch()?;
        if self.batch.n_tokens() == 0 {
            return Ok(());
        }
        self.context
            .decode(&mut self.batch)
            .map_err(|error| error.to_string())?;
        for DueAnswer { slot, index } in due {
            let Some(slot) = self.slots.get_mut(slot) else {
                continue;
            };
            let Some(mut answer) = slot.answer.take() else {
                continue;
            };
            match answer.advance(self.context.get_logits_ith(index), &self.vocabulary) {
                SlotProgress::More => slot.answer = Some(answer),
                SlotProgress::Done(finish) => answer.finish(finish, &self.vocabulary),
            }
        }
        Ok(())
    }

    /// Fills the batch with tokens that are not decoded yet: short remainders first, then the
    /// oldest prompts.
    fn fill_batch(&mut self) -> Result<Vec<DueAnswer>, String> {
        self.batch.clear();
        let mut order: Vec<_> = (0..self.slots.len())
            .filter(|index| self.pending_tokens(*index) > 0)
            .collect();
        order.sort_by_key(|index| {
            (
                self.pending_tokens(*index) > STEP_TOKENS / 4,
                self.slots.get(*index).map(|slot| slot.last_used),
            )
        });
        // All prefixes are copied before the batch is filled: tokens of the batch are in no cache
        // yet.
        order.retain(|index| self.copy_prefix(*index));
        let mut due = Vec::new();
        let mut room = STEP_TOKENS;
        for index in order {
            room -= self.add_to_batch(index, room, &mut due)?;
        }
        Ok(due)
    }

    /// Returns the number of an answer's tokens that are not decoded yet.
    fn pending_tokens(&self, index: usize) -> usize {
        let Some(slot) = self.slots.get(index) else {
            return 0;
        };
        slot.answer
            .as_ref()
            .map_or(0, |answer| answer.tokens.len() - slot.cached.len())
    }

    /// Adds up to `room` tokens of an answer to the batch, and returns their number.
    fn add_to_batch(
        &mut self,
        index: usize,
        room: usize,
        due: &mut Vec<DueAnswer>,
    ) -> Result<usize, String> {
        let Some(slot) = self.slots.get_mut(index) else {
            return Ok(0);
        };
        let Some(answer) = &slot.answer else {
            return Ok(0);
        };
        let begin = slot.cached.len();
        let end = answer.tokens.len().min(begin + room);
        let sequence = sequence_id(index);
        for (position, token) in answer.tokens.iter().enumerate().take(end).skip(begin) {
            let is_last = position + 1 == answer.tokens.len();
            if is_last {
                due.push(DueAnswer {
                    slot: index,
                    index: self.batch.n_tokens(),
                });
            }
            let llama_position = i32::try_from(position).map_err(|error| error.to_string())?;
            self.batch
                .add(*token, llama_position, &[sequence], is_last)
                .map_err(|error| error.to_string())?;
            slot.cached.push(*token);
        }
        Ok(end - begin)
    }

    /// Copies the longest cached prefix of a prompt from another slot. Returns false if the prompt
    /// must wait, because an older answer is just computing a longer one.
    fn copy_prefix(&mut self, index: usize) -> bool {
        let Some((slot, answer)) = self
            .slots
            .get(index)
            .and_then(|slot| Some((slot, slot.answer.as_ref()?)))
        else {
            return false;
        };
        let prefix = answer.reusable_prefix();
        if !self.reuses_prefixes || slot.cached.len() >= prefix.len() {
            return true;
        }
        let own = slot.cached.len();
        let others = || {
            self.slots
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
        };
        let cached = others()
            .map(|(other, from)| (common_prefix(&from.cached, prefix), other))
            .max()
            .unwrap_or((0, index));
        let older = others().filter(|(_, other)| other.last_used < slot.last_used);
        let upcoming = older
            .filter_map(|(_, other)| {
                Some(common_prefix(
                    other.answer.as_ref()?.reusable_prefix(),
                    prefix,
                ))
            })
            .max();
        let best = own.max(cached.0);
        if upcoming.is_some_and(|tokens| tokens >= best + MIN_WAIT_TOKENS) {
            return false;
        }
        if cached.0 > own {
            self.copy(cached.1, index, cached.0);
        }
        true
    }

    /// Replaces a slot's cached tokens by the first tokens of another slot.
    fn copy(&mut self, from: usize, to: usize, tokens: usize) {
        let copied: Vec<_> = self
            .slots
            .get(from)
            .map(|slot| slot.cached.iter().take(tokens).copied().collect())
            .unwrap_or_default();
        self.truncate(to, 0);
        let end = u32::try_from(tokens).ok();
        if self
            .context
            .kv_cache_seq_cp(sequence_id(from), sequence_id(to), Some(0), end)
            .is_ok()
            && let Some(slot) = self.slots.get_mut(to)
        {
            slot.cached = copied;
        }
    }

    /// Fails all answers and clears the cache, whose content is unknown after a failed step.
    fn fail_all(&mut self, error: &str) {
        tracing::error!(
            error,
            "decoding a step of the built-in model failed; all its answers fail"
        );
        for slot in &mut self.slots {
            slot.cached.clear();
            if let Some(answer) = slot.answer.take() {
                answer.fail(GenerateError::Failed(error.to_owned()));
            }
        }
        self.context.clear_kv_cache();
    }
}

/// Waits for the next prepared request. The idle thread holds the lock, so it gets the request
/// before the others.
fn wait_for_next(prepared: &Mutex<Receiver<Prepared>>) -> Result<Prepared, TryRecvError> {
    let receiver = prepared.lock().unwrap_or_else(PoisonError::into_inner);
    receiver.recv().map_err(|_| TryRecvError::Disconnected)
}

/// Returns the next prepared request, if there is one and no idle thread waits for it.
fn try_next(prepared: &Mutex<Receiver<Prepared>>) -> Result<Prepared, TryRecvError> {
    match prepared.try_lock() {
        Ok(receiver) => receiver.try_recv(),
        Err(TryLockError::WouldBlock) => Err(TryRecvError::Empty),
        Err(TryLockError::Poisoned(error)) => error.into_inner().try_recv(),
    }
}

/// Removes a sequence's tokens from `keep` on. Returns false if the model's cache cannot be
/// truncated there.
fn clear_sequence(context: &mut LlamaContext<'_>, index: usize, keep: usize) -> bool {
    let keep = u32::try_from(keep).ok().filter(|keep| *keep > 0);
    let sequence = u32::try_from(index).ok();
    context
        .clear_kv_cache_seq(sequence, keep, None)
        .unwrap_or(false)
}

/// Returns llama.cpp's id of a slot's sequence.
fn sequence_id(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

/// Returns the length of the common prefix.
fn common_prefix(left: &[LlamaToken], right: &[LlamaToken]) -> usize {
    left.iter()
        .zip(right)
        .take_while(|(left, right)| left == right)
        .count()
}
