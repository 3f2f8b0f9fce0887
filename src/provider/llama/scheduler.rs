//! The thread that owns the model's context: it decodes all answers together, a step at a time.
//!
//! Between two steps answers join and leave. A step takes the next token of each answer and fills up with prompts, in
//! chunks, so that a long prompt does not stop the others. A prompt that begins like one in another slot takes that part
//! over instead of computing it again; one that is being computed is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Mutex, PoisonError, TryLockError};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;
use toktrie::TokEnv;

use super::GenerateError;
use super::slot::{Prepared, Slot, SlotAnswer, SlotProgress};

/// Prompt tokens in one step, at most. A step of this size takes some tenths of a second on two cores, and cancelling
/// waits for its end.
pub const CHUNK: usize = 128;

/// A prompt waits for another slot to compute their common beginning when that saves at least this many tokens.
const WORTH_WAITING: usize = 16;

/// After this many admissions for each slot, what an unused slot remembers is worth nothing any more.
const FORGOTTEN_AFTER: u64 = 4;

/// The scheduler's whole state.
pub struct Scheduler<'model> {
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    vocabulary: TokEnv,
    slots: Vec<Slot>,
    admissions: u64,
    /// Whether the KV cache can be cut and copied; a recurrent model's cannot.
    reuses: bool,
}

/// Where an answer's next tokens lie in the batch.
struct DueWork {
    slot: usize,
    /// The batch's index of the token whose logits choose the next one.
    index: i32,
}

impl<'model> Scheduler<'model> {
    /// A scheduler with that many slots, which the context must have been made for.
    pub fn new(
        context: LlamaContext<'model>,
        vocabulary: TokEnv,
        slots: usize,
        reuses: bool,
    ) -> Self {
        let batch = LlamaBatch::new(CHUNK, 1);
        let slots = std::iter::repeat_with(Slot::default).take(slots).collect();
        Self {
            context,
            batch,
            vocabulary,
            slots,
            admissions: 0,
            reuses,
        }
    }

    /// Works until `prepared` is closed or `stop` is set. Answers in work are dropped then.
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

    /// Takes what is prepared into free slots; waits when nothing is in work. `false` when no more will come.
    fn admit_all(&mut self, prepared: &Mutex<Receiver<Prepared>>) -> bool {
        while let Some(free) = self.cheapest_free_slot() {
            let idle = self.slots.iter().all(|slot| slot.answer.is_none());
            let next = if idle { wait(prepared) } else { look(prepared) };
            match next {
                Ok(next) => self.admit(free, next),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return !idle,
            }
        }
        true
    }

    /// The free slot whose memory is missed least. Prefixes are copied between slots, so it need not be the alike one.
    fn cheapest_free_slot(&self) -> Option<usize> {
        let forgotten = FORGOTTEN_AFTER * self.slots.len() as u64;
        let worth = |slot: &Slot| {
            let fresh = self.admissions.saturating_sub(slot.last_used) < forgotten;
            if fresh { self.unshared(slot) } else { 0 }
        };
        let free = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.answer.is_none());
        free.min_by_key(|(_, slot)| (worth(slot), slot.last_used))
            .map(|(index, _)| index)
    }

    /// How many of a slot's tokens no other slot holds.
    fn unshared(&self, slot: &Slot) -> usize {
        let others = self
            .slots
            .iter()
            .filter(|other| !std::ptr::eq(*other, slot));
        let shared = others
            .map(|other| common(&slot.cached, &other.cached))
            .max()
            .unwrap_or(0);
        slot.cached.len() - shared
    }

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
        let keep = if self.reuses {
            common(&slot.cached, answer.reusable())
        } else {
            0
        };
        slot.last_used = admissions;
        slot.answer = Some(answer);
        self.cut(index, keep);
    }

    /// Forgets a slot's tokens from `keep` on.
    fn cut(&mut self, index: usize, keep: usize) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        if slot.cached.len() == keep {
            return;
        }
        slot.cached.truncate(keep);
        if !clear(&mut self.context, index, keep) {
            slot.cached.clear();
            clear(&mut self.context, index, 0);
        }
    }

    /// Decodes a batch and moves on the answers that it completes a token of.
    fn step(&mut self) -> Result<(), String> {
        let due = self.fill_batch()?;
        if self.batch.n_tokens() == 0 {
            return Ok(());
        }
        self.context
            .decode(&mut self.batch)
            .map_err(|error| error.to_string())?;
        for DueWork { slot, index } in due {
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

    /// Puts into the batch the answers' tokens that are not decoded yet: short rests first, then the oldest prompts.
    fn fill_batch(&mut self) -> Result<Vec<DueWork>, String> {
        self.batch.clear();
        let mut order: Vec<_> = (0..self.slots.len())
            .filter(|index| self.rest(*index) > 0)
            .collect();
        order.sort_by_key(|index| {
            (
                self.rest(*index) > CHUNK / 4,
                self.slots.get(*index).map(|slot| slot.last_used),
            )
        });
        // All prefixes are taken over before anything is put: what is put now is in no cache yet.
        order.retain(|index| self.take_over_prefix(*index));
        let mut due = Vec::new();
        let mut room = CHUNK;
        for index in order {
            room -= self.put(index, room, &mut due)?;
        }
        Ok(due)
    }

    fn rest(&self, index: usize) -> usize {
        let Some(slot) = self.slots.get(index) else {
            return 0;
        };
        slot.answer
            .as_ref()
            .map_or(0, |answer| answer.tokens.len() - slot.cached.len())
    }

    /// Puts up to `room` tokens of an answer into the batch, and returns their number.
    fn put(&mut self, index: usize, room: usize, due: &mut Vec<DueWork>) -> Result<usize, String> {
        let Some(slot) = self.slots.get_mut(index) else {
            return Ok(0);
        };
        let Some(answer) = &slot.answer else {
            return Ok(0);
        };
        let begin = slot.cached.len();
        let end = answer.tokens.len().min(begin + room);
        let sequence = sequence(index);
        for (position, token) in answer.tokens.iter().enumerate().take(end).skip(begin) {
            let last = position + 1 == answer.tokens.len();
            if last {
                due.push(DueWork {
                    slot: index,
                    index: self.batch.n_tokens(),
                });
            }
            let place = i32::try_from(position).map_err(|error| error.to_string())?;
            self.batch
                .add(*token, place, &[sequence], last)
                .map_err(|error| error.to_string())?;
            slot.cached.push(*token);
        }
        Ok(end - begin)
    }

    /// Copies the longest known beginning of a prompt from another slot. `false` when an older answer is just
    /// computing it, which is waited for.
    fn take_over_prefix(&mut self, index: usize) -> bool {
        let Some((slot, answer)) = self
            .slots
            .get(index)
            .and_then(|slot| Some((slot, slot.answer.as_ref()?)))
        else {
            return false;
        };
        let wanted = answer.reusable();
        if !self.reuses || slot.cached.len() >= wanted.len() {
            return true;
        }
        let known = slot.cached.len();
        let others = || {
            self.slots
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
        };
        let at_hand = others()
            .map(|(other, from)| (common(&from.cached, wanted), other))
            .max()
            .unwrap_or((0, index));
        let older = others().filter(|(_, other)| other.last_used < slot.last_used);
        let coming = older
            .filter_map(|(_, other)| Some(common(other.answer.as_ref()?.reusable(), wanted)))
            .max();
        let best = known.max(at_hand.0);
        if coming.is_some_and(|coming| coming >= best + WORTH_WAITING) {
            return false;
        }
        if at_hand.0 > known {
            self.copy(at_hand.1, index, at_hand.0);
        }
        true
    }

    fn copy(&mut self, from: usize, to: usize, tokens: usize) {
        let copied: Vec<_> = self
            .slots
            .get(from)
            .map(|slot| slot.cached.iter().take(tokens).copied().collect())
            .unwrap_or_default();
        self.cut(to, 0);
        let end = u32::try_from(tokens).ok();
        if self
            .context
            .kv_cache_seq_cp(sequence(from), sequence(to), Some(0), end)
            .is_ok()
            && let Some(slot) = self.slots.get_mut(to)
        {
            slot.cached = copied;
        }
    }

    /// After a failed step nothing is known of the cache: all answers fail and it is emptied.
    fn fail_all(&mut self, error: &str) {
        tracing::error!(error, "a step of the built-in model failed");
        for slot in &mut self.slots {
            slot.cached.clear();
            if let Some(answer) = slot.answer.take() {
                answer.fail(GenerateError::Failed(error.to_owned()));
            }
        }
        self.context.clear_kv_cache();
    }
}

/// The next prepared request; an idle thread stands first in line for it, since it holds the lock.
fn wait(prepared: &Mutex<Receiver<Prepared>>) -> Result<Prepared, TryRecvError> {
    let line = prepared.lock().unwrap_or_else(PoisonError::into_inner);
    line.recv().map_err(|_| TryRecvError::Disconnected)
}

/// The next prepared request, if there is one and no idle thread waits for it.
fn look(prepared: &Mutex<Receiver<Prepared>>) -> Result<Prepared, TryRecvError> {
    match prepared.try_lock() {
        Ok(line) => line.try_recv(),
        Err(TryLockError::WouldBlock) => Err(TryRecvError::Empty),
        Err(TryLockError::Poisoned(line)) => line.into_inner().try_recv(),
    }
}

/// Removes a sequence's tokens from `keep` on. `false` when the model's cache cannot be cut there.
fn clear(context: &mut LlamaContext<'_>, index: usize, keep: usize) -> bool {
    let keep = u32::try_from(keep).ok().filter(|keep| *keep > 0);
    let sequence = u32::try_from(index).ok();
    context
        .clear_kv_cache_seq(sequence, keep, None)
        .unwrap_or(false)
}

/// llama.cpp's number of a slot's sequence.
fn sequence(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

/// The length of the common beginning.
fn common(left: &[LlamaToken], right: &[LlamaToken]) -> usize {
    left.iter()
        .zip(right)
        .take_while(|(left, right)| left == right)
        .count()
}
