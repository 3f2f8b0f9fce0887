//! Built-in model: llama.cpp in this process, with a scheduler for continuous batching (many
//! answers are decoded together).
//!
//! ```text
//! generate ──► queue ──► prepare (text → tokens, schema → grammar) ──► scheduler (tokens → answer) ──► generate
//!  a future     bounded    one thread                                   one thread for each worker
//! ```
//!
//! Dropping the future of [`Engine::generate`] cancels the request: its place in the queue is free
//! at once, and its slot in the model within one step. This module must not know HTTP or limits;
//! only [`prompt`] knows the wording of prompts.

pub mod answer_schema;
mod chat;
mod closed_objects;
mod copy_bias;
mod copy_tracker;
mod grammar;
mod grammar_cost;
mod loader;
mod prepare;
pub mod prompt;
mod queue;
mod repetition;
pub mod retry_schema;
mod sampler;
mod scheduler;
mod slot;
mod types;
mod vocabulary;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use llama_cpp_2::model::LlamaModel;
use tokio::sync::{mpsc, oneshot};
use toktrie::TokEnv;

pub use chat::{ChatTurn, Role};
pub use loader::LoadError;
pub use types::{Completion, Finish, GenerateError, Options, Request};

use chat::Chat;
use copy_bias::CopyBias;
use grammar::Grammars;
use prepare::{PrepareJob, Preparer};
use queue::{PushError, Queue};
use scheduler::Scheduler;
use slot::{Prepared, ReplySender};

/// Maximum number of slots of a worker. The KV cache allows 256 sequences (llama.cpp's
/// `LLAMA_MAX_SEQ`), but more than 64 never pay off on a CPU.
const MAX_SLOTS: usize = 64;

/// Minimum context size, in tokens. Chat template and answer do not fit into less.
const MIN_CONTEXT_TOKENS: usize = 64;

/// Layout of the decoding threads.
#[derive(Clone, Copy)]
struct ThreadLayout {
    workers: usize,
    /// Number of slots of each worker.
    slots: usize,
}

/// Loaded model and its threads. Dropping it joins the threads after their current step.
pub struct Engine {
    model: Arc<LlamaModel>,
    context_tokens: usize,
    jobs: Arc<Queue<PrepareJob>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Loads a GGUF file and starts the threads. Blocks for about a second, so it must not run on
    /// an async thread.
    ///
    /// # Errors
    /// If the file cannot be read, is not a usable model, or memory or threads are lacking; see
    /// [`LoadError`].
    pub fn load(path: &Path, options: Options) -> Result<Self, LoadError> {
        let model = Arc::new(loader::load_model(path)?);
        let not_a_model = || LoadError::NotAModel {
            path: path.to_owned(),
        };
        let vocabulary = vocabulary::environment(&model).ok_or_else(not_a_model)?;
        let jobs: Arc<Queue<PrepareJob>> = Arc::new(Queue::new(options.queue));
        let waker = Arc::clone(&jobs);
        let grammars =
            Grammars::new(&vocabulary, move || waker.wake()).map_err(|_| not_a_model())?;
        let max_token_bytes = vocabulary.tok_trie().max_token_len();
        let trained = usize::try_from(model.n_ctx_train())
            .unwrap_or(usize::MAX)
            .max(MIN_CONTEXT_TOKENS);
        let context_tokens = options.context_tokens.clamp(MIN_CONTEXT_TOKENS, trained);
        let workers = options.workers.clamp(1, MAX_SLOTS);
        let slots = options.parallel.clamp(1, MAX_SLOTS).div_ceil(workers);
        let layout = ThreadLayout { workers, slots };
        let chat = Chat::new(Arc::clone(&model), max_token_bytes);
        let copy_bias = Arc::new(CopyBias::new(Arc::clone(&model), &vocabulary));
        let preparer = Preparer {
            chat,
            grammars,
            copy_bias,
            context_tokens,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let mut engine = Self {
            model,
            context_tokens,
            jobs,
            stop,
            threads: Vec::new(),
        };
        engine.start_threads(preparer, &vocabulary, layout)?;
        Ok(engine)
    }

    fn start_threads(
        &mut self,
        preparer: Preparer,
        vocabulary: &TokEnv,
        layout: ThreadLayout,
    ) -> Result<(), LoadError> {
        let no_thread = |error: std::io::Error| LoadError::Context(error.to_string());
        let (sender, receiver) = sync_channel(layout.workers * layout.slots);
        let ready = Arc::new(Mutex::new(receiver));
        for _ in 0..layout.workers {
            let (report, started) = channel();
            let worker = self.worker(Arc::clone(&ready), vocabulary.clone(), layout, report);
            let thread = std::thread::Builder::new()
                .name("model".to_owned())
                .spawn(worker)
                .map_err(no_thread)?;
            self.threads.push(thread);
            let panicked = |_| LoadError::Context("the model's thread panicked".to_owned());
            started.recv().map_err(panicked)??;
        }
        drop(ready);
        let closer = CloseOnExit(Arc::clone(&self.jobs));
        let prepare = move || preparer.run(&closer.0, &sender);
        let builder = std::thread::Builder::new()
            .name("model-prepare".to_owned())
            .stack_size(prepare::STACK_BYTES);
        self.threads
            .push(builder.spawn(prepare).map_err(no_thread)?);
        Ok(())
    }

    /// Returns the body of a decoding thread: it creates its context, reports, and decodes until
    /// the engine stops.
    fn worker(
        &self,
        prepared: Arc<Mutex<Receiver<Prepared>>>,
        vocabulary: TokEnv,
        layout: ThreadLayout,
        report: Sender<Result<(), LoadError>>,
    ) -> impl FnOnce() + Send + 'static {
        let (model, stop, context_tokens) = (
            Arc::clone(&self.model),
            Arc::clone(&self.stop),
            self.context_tokens,
        );
        let closer = CloseOnExit(Arc::clone(&self.jobs));
        move || {
            let _closer = closer;
            let reuses_prefixes = !model.is_recurrent() && !model.is_hybrid();
            match loader::create_context(&model, layout.slots, context_tokens) {
                Ok(context) => {
                    let mut scheduler =
                        Scheduler::new(context, vocabulary, layout.slots, reuses_prefixes);
                    let _ = report.send(Ok(()));
                    scheduler.run(&prepared, &stop);
                }
                Err(error) => drop(report.send(Err(error))),
            }
        }
    }

    /// Generates one answer, and sends its text piece by piece to `deltas` if given.
    ///
    /// # Errors
    /// If the queue is full, the prompt is too long, or the model fails; see [`GenerateError`].
    ///
    /// # Cancel safety
    /// Dropping the future aborts the answer and nothing else.
    pub async fn generate(
        &self,
        request: Request,
        deltas: Option<mpsc::UnboundedSender<String>>,
    ) -> Result<Completion, GenerateError> {
        let (completion, answer) = oneshot::channel();
        let reply = ReplySender { completion, deltas };
        self.jobs
            .push(PrepareJob { request, reply })
            .map_err(|error| match error {
                PushError::Full => GenerateError::Overloaded,
                PushError::Closed => GenerateError::Stopped,
            })?;
        answer.await.unwrap_or(Err(GenerateError::Stopped))
    }

    /// Returns the model's name in the file's metadata, else its architecture.
    #[must_use]
    pub fn model_name(&self) -> String {
        let value = |key| {
            self.model
                .meta_val_str(key)
                .ok()
                .filter(|name| !name.is_empty())
        };
        value("general.name")
            .or_else(|| value("general.architecture"))
            .unwrap_or_default()
    }

    /// Returns the context size of each answer: tokens of prompt and answer together.
    #[must_use]
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs.close();
        // The preparing thread was started last and is joined first: it drops the sender on which
        // an idle scheduler waits.
        while let Some(thread) = self.threads.pop() {
            let _ = thread.join();
        }
    }
}

/// Guard that closes the queue when a thread ends, also by a panic, so that no request waits for an
/// answer that cannot come.
struct CloseOnExit(Arc<Queue<PrepareJob>>);

impl Drop for CloseOnExit {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests;
