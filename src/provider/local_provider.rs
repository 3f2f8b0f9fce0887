//! Built-in llama.cpp model as a [`Provider`]: loads it in the background and maps requests and
//! answers.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use throttle::RemainingQuota;
use tokio::sync::{mpsc, watch};

use super::answer::{Answer, Finish};
use super::failure::{Failure, FailureKind};
use super::genai_names::GenAiNames;
use super::interface::{Provider, RequestPreview};
use super::llama::prompt::prompt;
use super::llama::retry_schema::without_rejected;
use super::llama::{self, ChatTurn, Completion, Engine, GenerateError, Role};
use super::prompt::{feedback_message, truncated_answer};
use super::request::{Request, TextSink};
use crate::types::{Dialect, Mode, Usage};
use futures_util::future::BoxFuture;

/// Settings of the built-in model.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    pub model_path: PathBuf,
    /// Number of decoding threads.
    pub workers: usize,
    /// Number of answers decoded at a time.
    pub parallel: usize,
    /// Context size: tokens of prompt and answer together.
    pub context_tokens: usize,
}

impl LocalOptions {
    /// Returns the useful number of calls in flight: one for each slot, and one for each worker
    /// that is prepared meanwhile.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        self.slots() + self.workers
    }

    fn slots(&self) -> usize {
        self.workers * self.parallel.div_ceil(self.workers)
    }
}

/// Default maximum number of tokens of an answer: a small model can loop inside a string without
/// end.
const DEFAULT_MAX_OUTPUT_TOKENS: u32 = 512;

/// Result of loading; `None`: still loading.
type LoadState = Option<Result<Arc<Engine>, String>>;

/// Provider with the model in this process. Calls wait until the model is loaded.
pub struct LocalProvider(watch::Receiver<LoadState>);

impl std::fmt::Debug for LocalProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalProvider")
    }
}

impl LocalProvider {
    /// Starts a thread that loads the model.
    ///
    /// # Errors
    /// If the operating system cannot start a thread.
    pub fn start(options: LocalOptions) -> std::io::Result<Self> {
        let (report, loaded) = watch::channel(None);
        std::thread::Builder::new()
            .name("extractd-load".to_owned())
            .spawn(move || {
                let result = load(&options);
                if let Err(error) = &result {
                    tracing::error!(%error, "loading the built-in model failed; calls to the provider `local` fail");
                }
                report.send_replace(Some(result.map(Arc::new)));
            })?;
        Ok(Self(loaded))
    }

    /// Waits until the model is loaded.
    async fn engine(&self) -> Result<Arc<Engine>, Failure> {
        let mut loaded = self.0.clone();
        let stopped = || {
            Failure::new(
                FailureKind::Unusable,
                "loading the built-in model was aborted; restart the server",
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

    async fn call_once(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let engine = self.engine().await?;
        let mode = request.mode.or(Mode::JsonSchema);
        let model_request = model_request(request);
        let result = match request.on_text {
            Some(on_text) => generate_streamed(&engine, model_request, mode, on_text).await,
            None => engine.generate(model_request, None).await,
        };
        result
            .map(|completion| answer(completion, mode))
            .map_err(|error| failure(&error))
    }
}

/// Generates an answer and passes its text deltas to `on_text`.
#[expect(
    clippy::disallowed_methods,
    reason = "bounded by the tokens of one answer"
)]
async fn generate_streamed(
    engine: &Engine,
    request: llama::Request,
    mode: Mode,
    on_text: TextSink<'_>,
) -> Result<Completion, GenerateError> {
    let (sender, mut deltas) = mpsc::unbounded_channel();
    let mut emitted_bytes = 0;
    let mut emit = |delta: &str| {
        emitted_bytes += delta.len();
        on_text(mode, delta);
    };
    let mut generation = std::pin::pin!(engine.generate(request, Some(sender)));
    let completion = loop {
        tokio::select! {
            biased;
            Some(delta) = deltas.recv() => emit(&delta),
            result = &mut generation => break result?,
        }
    };
    while let Ok(delta) = deltas.try_recv() {
        emit(&delta);
    }
    // The last tokens of an answer are not emitted by the engine.
    on_text(
        mode,
        completion.text.get(emitted_bytes..).unwrap_or_default(),
    );
    Ok(completion)
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

fn model_request(request: &Request<'_>) -> llama::Request {
    let prompt = prompt(
        request.schema.tree,
        request.instructions,
        request.examples,
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
    let errors = request
        .feedback
        .map_or(&[][..], |feedback| &feedback.errors);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a temperature from 0 to 2 needs no more precision"
    )]
    let temperature = request.temperature as f32;
    llama::Request {
        system: prompt.system,
        turns,
        schema: (request.mode != Mode::Text).then(|| without_rejected(request.schema.tree, errors)),
        copy_source: Some(request.input.into()),
        temperature,
        seed: request
            .seed
            .and_then(|seed| u32::try_from(seed.rem_euclid(1 << 32)).ok()),
        max_tokens: Some(
            request
                .max_output_tokens
                .unwrap_or(DEFAULT_MAX_OUTPUT_TOKENS) as usize,
        ),
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
        is_parsed: false,
        remark: None,
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
    fn genai_names(&self) -> GenAiNames {
        GenAiNames::chat("llama.cpp")
    }

    fn call<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.call_once(request))
    }

    fn preview(&self, request: &Request<'_>) -> Result<RequestPreview, Failure> {
        let mode = request.mode.or(Mode::JsonSchema);
        let llama::Request {
            system,
            turns,
            schema,
            temperature,
            seed,
            max_tokens,
            ..
        } = model_request(request);
        let turns = turns.iter().map(|turn| {
            let role = match turn.role {
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            json!({"role": role, "content": &*turn.text})
        });
        let system = json!({"role": "system", "content": &*system});
        Ok(RequestPreview {
            mode,
            target: "local".to_owned(),
            body: json!({
                "messages": std::iter::once(system).chain(turns).collect::<Vec<_>>(),
                "schema": schema.map(|schema| schema.to_json()),
                "temperature": temperature, "seed": seed, "max_tokens": max_tokens,
            }),
        })
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Text]
    }

    fn needs_skeleton(&self) -> bool {
        true
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
