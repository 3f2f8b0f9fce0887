//! The model built in, as a provider.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::llama::prompt::prompt;
use super::llama::{self, ChatTurn, Completion, Engine, GenerateError, Role};
use super::prompt::{feedback_message, truncated_answer};
use super::{Answer, BoxFuture, Failure, FailureKind, Finish, Provider, RemainingQuota, Request};
use crate::types::{Dialect, Mode, Usage};

/// How the built-in model is run.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    pub model_path: PathBuf,
    /// Threads that decode.
    pub workers: usize,
    /// Answers decoded at a time.
    pub parallel: usize,
    /// Tokens of prompt and answer together.
    pub context_tokens: usize,
}

impl LocalOptions {
    /// Calls that are worth having in flight: the answers decoded at a time, and one each that is made ready meanwhile.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        self.slots() + self.workers
    }

    fn slots(&self) -> usize {
        self.workers * self.parallel.div_ceil(self.workers)
    }
}

/// The most tokens of an answer, if the request does not say: a small model can run on for ever inside a string.
const MAX_ANSWER_TOKENS: u32 = 512;

/// What became of loading.
type Loaded = Option<Result<Arc<Engine>, String>>;

/// The model in this process; loads in the background, and calls wait for it.
pub struct LocalProvider(watch::Receiver<Loaded>);

impl std::fmt::Debug for LocalProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Local")
    }
}

impl LocalProvider {
    /// Starts loading, on a thread of its own.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(options: LocalOptions) -> std::io::Result<Self> {
        let (report, loaded) = watch::channel(None);
        std::thread::Builder::new()
            .name("extractd-load".to_owned())
            .spawn(move || {
                let result = load(&options);
                if let Err(error) = &result {
                    tracing::error!(%error, "the built-in model cannot be used");
                }
                report.send_replace(Some(result.map(Arc::new)));
            })?;
        Ok(Self(loaded))
    }

    async fn engine(&self) -> Result<Arc<Engine>, Failure> {
        let mut loaded = self.0.clone();
        let stopped = || {
            Failure::new(
                FailureKind::Unusable,
                "loading the built-in model was given up",
            )
        };
        let state = loaded
            .wait_for(Option::is_some)
            .await
            .map_err(|_| stopped())?
            .clone();
        state
            .ok_or_else(stopped)?
            .map_err(|error| Failure::new(FailureKind::Unusable, error))
    }

    async fn ask(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let engine = self.engine().await?;
        let mode = request.mode.or(Mode::JsonSchema);
        let Some(on_text) = request.on_text else {
            let completion = engine.generate(question(request), None).await;
            return completion
                .map(|completion| answer(completion, mode))
                .map_err(|error| failure(&error));
        };
        let (sender, mut pieces) = mpsc::unbounded_channel();
        let mut told = 0;
        let mut tell = |piece: &str| {
            told += piece.len();
            on_text(mode, piece);
            told
        };
        let mut generation = std::pin::pin!(engine.generate(question(request), Some(sender)));
        let completion = loop {
            tokio::select! {
                biased;
                Some(piece) = pieces.recv() => drop(tell(&piece)),
                done = &mut generation => break done.map_err(|error| failure(&error))?,
            }
        };
        while let Ok(piece) = pieces.try_recv() {
            tell(&piece);
        }
        let told = tell("");
        on_text(mode, completion.text.get(told..).unwrap_or_default());
        Ok(answer(completion, mode))
    }
}

fn load(options: &LocalOptions) -> Result<Engine, String> {
    let started = std::time::Instant::now();
    let engine = Engine::load(
        &options.model_path,
        llama::Options {
            workers: options.workers,
            parallel: options.parallel,
            context_tokens: options.context_tokens,
            queue: 2 * options.max_in_flight(),
        },
    )
    .map_err(|error| error.to_string())?;
    tracing::info!(
        model = engine.model_name(),
        workers = options.workers,
        parallel = options.slots(),
        context_tokens = engine.context_tokens(),
        elapsed_ms = started.elapsed().as_millis(),
        "the built-in model is loaded"
    );
    Ok(engine)
}

fn question(request: &Request<'_>) -> llama::Request {
    // At this size a model needs to see the shape, even with a value that is not quite valid.
    let made_up = request
        .schema
        .examples
        .iter()
        .map(|made_up| &made_up.example)
        .filter(|_| request.examples.is_empty());
    let examples = request.examples.iter().chain(made_up);
    let prompt = prompt(
        request.schema.value,
        request.instructions,
        examples,
        request.input,
    );
    let mut turns = prompt.turns;
    if let Some(feedback) = request.feedback {
        turns.push(ChatTurn {
            role: Role::Assistant,
            text: truncated_answer(&feedback.answer).into(),
        });
        turns.push(ChatTurn {
            role: Role::User,
            text: feedback_message(feedback).into(),
        });
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a temperature from 0 to 2 needs no more"
    )]
    let temperature = request.temperature as f32;
    llama::Request {
        system: prompt.system,
        turns,
        schema: (request.mode != Mode::Text).then(|| Arc::clone(request.schema.value)),
        source: Some(request.input.into()),
        temperature,
        seed: request
            .seed
            .and_then(|seed| u32::try_from(seed.rem_euclid(1 << 32)).ok()),
        max_tokens: Some(request.max_output_tokens.unwrap_or(MAX_ANSWER_TOKENS) as usize),
    }
}

fn answer(completion: Completion, mode: Mode) -> Answer {
    Answer {
        text: completion.text,
        finish: match completion.finish {
            llama::Finish::Stop => Finish::Stop,
            llama::Finish::Length => Finish::Length,
        },
        usage: Some(Usage::new(
            completion.input_tokens as u64,
            completion.output_tokens as u64,
        )),
        mode,
        remaining_quota: RemainingQuota::default(),
    }
}

fn failure(error: &GenerateError) -> Failure {
    let kind = match error {
        GenerateError::Overloaded => FailureKind::Busy,
        GenerateError::InputTooLong { .. } => FailureKind::TooLong,
        GenerateError::Stopped => FailureKind::Unusable,
        GenerateError::Failed(_) => FailureKind::Broken,
    };
    Failure::new(kind, error.to_string())
}

impl Provider for LocalProvider {
    fn call<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.ask(request))
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Text]
    }

    fn dialect(&self, _: Mode) -> &'static Dialect {
        &Dialect::WHOLE
    }

    fn note(&self) -> Option<&'static str> {
        Some("built in: small, for trying out and for tests, not for quality")
    }

    fn not_ready_reason(&self) -> Option<String> {
        match &*self.0.borrow() {
            None => Some("the built-in model is loading".to_owned()),
            Some(Err(error)) => Some(format!("the built-in model cannot be used: {error}")),
            Some(Ok(_)) => None,
        }
    }
}
