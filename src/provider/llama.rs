//! A language model in the process: llama.cpp under a scheduler that decodes many answers together.
//!
//! ```text
//! generate ──► queue ──► prepare (text → tokens, schema → grammar) ──► scheduler (tokens → answer) ──► generate
//!  a future     bounded    a thread of its own                          one thread for each worker
//! ```
//!
//! Dropping the future of [`Engine::generate`] is the whole of cancellation: its place in the queue is free at once and
//! its slot in the model within a step. This module must not know prompts' wording ([`prompt`] does), HTTP or limits.

mod chat;
mod copy_bias;
mod grammar;
mod loader;
mod prepare;
pub mod prompt;
mod queue;
mod sampler;
mod scheduler;
mod slot;
mod vocabulary;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use llama_cpp_2::model::LlamaModel;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use toktrie::TokEnv;

pub use chat::{ChatTurn, Role};
pub use loader::LoadError;

use chat::Chat;
use copy_bias::CopyBias;
use grammar::Grammars;
use prepare::{PrepareJob, Preparer};
use queue::{Queue, QueueFull};
use scheduler::Scheduler;
use slot::{Prepared, ReplySender};

/// The KV cache takes sequences' numbers below 256 (llama.cpp's `LLAMA_MAX_SEQ`); more than 64 never pay on a processor.
const MOST_SLOTS: usize = 64;

/// Below this no chat template and answer fit.
const SMALLEST_CONTEXT: usize = 64;

/// How the model is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Threads that decode, each its own answers; a sensible number is that of the cores. They never wait for each
    /// other, so one that loses its core to another process does not hold up the rest; several threads for one answer
    /// do, spinning, and on a busy machine everything becomes ten times slower.
    pub workers: usize,
    /// Answers decoded at a time, 1 to 64, shared out among the workers.
    pub parallel: usize,
    /// Tokens of prompt and answer together, for each answer; at most what the model was trained for.
    pub context_tokens: usize,
    /// Requests that may wait, beside those in work and as many again that are made ready.
    pub queue: usize,
}

/// One thing to write.
#[derive(Debug, Clone)]
pub struct Request {
    /// The task. What requests have in common belongs here and into the first turns: it is computed once.
    pub system: Arc<str>,
    /// Worked examples, and the question at the end.
    pub turns: Vec<ChatTurn>,
    /// The JSON Schema that the answer is held to. `None` for free text.
    pub schema: Option<Arc<Value>>,
    /// The text that values are copied from: words that it does not have become less likely. `None` for no such text.
    pub source: Option<Arc<str>>,
    /// 0 always takes the likeliest token; 1 draws as the model was trained.
    pub temperature: f32,
    /// Makes a draw repeatable. `None` for a random one.
    pub seed: Option<u32>,
    /// The longest answer. `None` for what the context leaves.
    pub max_tokens: Option<usize>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The answer; compact JSON when it was constrained and not cut.
    pub text: String,
    /// Why it ends.
    pub finish: Finish,
    /// Whether the schema was enforced to the end. Some schemas are beyond the grammar; validate the answer in any case.
    pub constrained: bool,
    /// Tokens of the prompt, also those that were computed for another request.
    pub input_tokens: usize,
    /// Tokens of the answer.
    pub output_tokens: usize,
}

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It is complete.
    Stop,
    /// It reached the longest length: the JSON is cut.
    Length,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// Try again later.
    #[error("the queue of the built-in model is full")]
    Overloaded,
    /// A shorter text would do.
    #[error("the prompt has {tokens} tokens, and the built-in model takes {limit}")]
    InputTooLong {
        /// The prompt's tokens; for a hopelessly long one a lower bound.
        tokens: usize,
        /// The most that would do.
        limit: usize,
    },
    /// The engine was dropped, or its thread died.
    #[error("the built-in model has stopped")]
    Stopped,
    /// The model failed on this request.
    #[error("running the built-in model: {0}")]
    Failed(String),
}

/// How the threads are laid out.
#[derive(Clone, Copy)]
struct Size {
    workers: usize,
    /// Answers for each worker.
    slots: usize,
}

/// A loaded model and its threads. Dropping it ends them after the step in work.
pub struct Engine {
    model: Arc<LlamaModel>,
    context_tokens: usize,
    jobs: Arc<Queue<PrepareJob>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Loads a GGUF file and starts the threads. Blocks, for about a second: call it on a thread of its own.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(path: &Path, options: Options) -> Result<Self, LoadError> {
        let model = Arc::new(loader::model(path)?);
        let not_a_model = || LoadError::NotAModel {
            path: path.to_owned(),
        };
        let vocabulary = vocabulary::environment(&model).ok_or_else(not_a_model)?;
        let grammars = Grammars::new(&vocabulary).map_err(|_| not_a_model())?;
        let longest = vocabulary.tok_trie().max_token_len();
        let trained = usize::try_from(model.n_ctx_train())
            .unwrap_or(usize::MAX)
            .max(SMALLEST_CONTEXT);
        let context_tokens = options.context_tokens.clamp(SMALLEST_CONTEXT, trained);
        let workers = options.workers.clamp(1, MOST_SLOTS);
        let slots = options.parallel.clamp(1, MOST_SLOTS).div_ceil(workers);
        let size = Size { workers, slots };
        let chat = Chat::new(Arc::clone(&model), longest);
        let source = CopyBias::new(Arc::clone(&model), &vocabulary);
        let preparer = Preparer {
            chat,
            grammars,
            source,
            context_tokens,
        };
        let jobs = Arc::new(Queue::new(options.queue));
        let stop = Arc::new(AtomicBool::new(false));
        let mut engine = Self {
            model,
            context_tokens,
            jobs,
            stop,
            threads: Vec::new(),
        };
        engine.start(preparer, &vocabulary, size)?;
        Ok(engine)
    }

    fn start(
        &mut self,
        preparer: Preparer,
        vocabulary: &TokEnv,
        size: Size,
    ) -> Result<(), LoadError> {
        let no_thread = |error: std::io::Error| LoadError::Context(error.to_string());
        let (sender, receiver) = sync_channel(size.workers * size.slots);
        let ready = Arc::new(Mutex::new(receiver));
        for _ in 0..size.workers {
            let (report, started) = channel();
            let work = self.work(Arc::clone(&ready), vocabulary.clone(), size, report);
            let thread = std::thread::Builder::new()
                .name("model".to_owned())
                .spawn(work)
                .map_err(no_thread)?;
            self.threads.push(thread);
            let died = |_| LoadError::Context("the model's thread died".to_owned());
            started.recv().map_err(died)??;
        }
        drop(ready);
        let closing = Closing(Arc::clone(&self.jobs));
        let prepare = move || preparer.run(&closing.0, &sender);
        let builder = std::thread::Builder::new()
            .name("model-prepare".to_owned())
            .stack_size(prepare::STACK_BYTES);
        self.threads
            .push(builder.spawn(prepare).map_err(no_thread)?);
        Ok(())
    }

    /// What one decoding thread does: makes its context, reports, and works until the engine stops.
    fn work(
        &self,
        ready: Arc<Mutex<Receiver<Prepared>>>,
        vocabulary: TokEnv,
        size: Size,
        report: Sender<Result<(), LoadError>>,
    ) -> impl FnOnce() + Send + 'static {
        let (model, stop, context_tokens) = (
            Arc::clone(&self.model),
            Arc::clone(&self.stop),
            self.context_tokens,
        );
        let closing = Closing(Arc::clone(&self.jobs));
        move || {
            let _closing = closing;
            let reuses = !model.is_recurrent() && !model.is_hybrid();
            match loader::context(&model, size.slots, context_tokens) {
                Ok(context) => {
                    let mut scheduler = Scheduler::new(context, vocabulary, size.slots, reuses);
                    let _ = report.send(Ok(()));
                    scheduler.run(&ready, &stop);
                }
                Err(error) => drop(report.send(Err(error))),
            }
        }
    }

    /// Writes one answer.
    ///
    /// # Errors
    /// See [`GenerateError`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the answer; nothing else is lost.
    pub async fn generate(
        &self,
        request: Request,
        pieces: Option<mpsc::UnboundedSender<String>>,
    ) -> Result<Completion, GenerateError> {
        let (whole, answer) = oneshot::channel();
        let reply = ReplySender { whole, pieces };
        self.jobs
            .push(PrepareJob { request, reply })
            .map_err(|refused| match refused {
                QueueFull::Full => GenerateError::Overloaded,
                QueueFull::Closed => GenerateError::Stopped,
            })?;
        answer.await.unwrap_or(Err(GenerateError::Stopped))
    }

    /// The name that the file gives its model, else its architecture.
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

    /// Tokens of prompt and answer together, for each answer.
    #[must_use]
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs.close();
        // The preparing thread goes first: with it goes the sender that an idle scheduler waits for.
        while let Some(thread) = self.threads.pop() {
            let _ = thread.join();
        }
    }
}

/// Closes the waiting room when a thread ends, by a panic too, so that nobody waits for an answer that will not come.
struct Closing(Arc<Queue<PrepareJob>>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests;
