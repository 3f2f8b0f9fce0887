//! The transport of every provider that is reached over HTTP, and what it has learned about its server.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::prompt;
use super::{Answer, BoxFuture, Failure, FailureKind, Left, Provider, Request};
use crate::model::{Mode, Subset};
use crate::net::{self, Client, Url};

/// A wire format: pure mappings, and no state.
pub trait Wire: Send + Sync + std::fmt::Debug {
    /// The path under the base URL.
    fn path(&self) -> &'static str;

    fn modes(&self) -> &'static [Mode];

    /// What a mode takes of JSON Schema.
    fn subset(&self, mode: Mode) -> &'static Subset;

    /// Our request as the body to send.
    fn encode(&self, request: &Request<'_>, form: Form) -> Vec<u8>;

    /// The body of a 200 as our answer; or what is wrong with it.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    fn decode(&self, request: &Request<'_>, form: Form, body: &[u8]) -> Result<Answer, String>;

    /// What the body of another status says.
    fn complaint(&self, body: &[u8]) -> Said;

    /// What to leave out or rename, if that is what a refusal (400, 422, 500, 501) asks for.
    fn lesson(&self, status: u16, said: &Said, form: Form) -> Option<Lesson>;
}

/// A request's body without its text. Of a batch, everything else is the same for every item: it is encoded once.
#[derive(Debug, Default)]
pub struct Template(OnceLock<Option<Cut>>);

#[derive(Debug)]
struct Cut {
    form: Form,
    max_output_tokens: Option<u32>,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Stands for the text while a template is made.
const PLACEHOLDER: &str = "the text of 7f1d4e0a5b9c4c7e";

impl Cut {
    /// `None` if the place of the text is not plain to see.
    fn new(wire: &impl Wire, request: &Request<'_>, form: Form) -> Option<Self> {
        let body = wire.encode(&Request { input: PLACEHOLDER, ..*request }, form);
        let place = serde_json::to_vec(&prompt::fenced(PLACEHOLDER)).ok()?;
        let mut found = memchr::memmem::find_iter(&body, &place);
        let at = found.next().filter(|_| found.next().is_none())?;
        let after = body.get(at + place.len()..)?.to_vec();
        Some(Self { form, max_output_tokens: request.max_output_tokens, before: body.get(..at)?.to_vec(), after })
    }

    fn fill(&self, text: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.before.len() + self.after.len() + text.len() + text.len() / 8 + 64);
        body.extend_from_slice(&self.before);
        // Neither a string nor a vector can fail.
        drop(serde_json::to_writer(&mut body, &prompt::fenced(text)));
        body.extend_from_slice(&self.after);
        body
    }
}

/// What a provider said when it refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    pub message: String,
    /// The quota of the key is used up; waiting does not help.
    pub exhausted: bool,
    /// The request alone is more than a minute's quota; waiting does not help.
    pub too_large: bool,
}

/// The form in which a question is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Never `auto`.
    pub mode: Mode,
    pub temperature: bool,
    pub seed: bool,
    /// The other name of the output limit than the one this server was thought to know.
    pub other_tokens_name: bool,
}

/// What a server does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lesson {
    /// The mode, whatever is asked in it.
    Mode,
    /// This schema in this mode; others may do.
    Schema,
    Temperature,
    Seed,
    TokensName,
}

/// What was learned about one model of a server.
#[derive(Debug, Clone, Copy, Default)]
struct Learned {
    refused_modes: u8,
    no_temperature: bool,
    no_seed: bool,
    other_tokens_name: bool,
}

/// A provider behind HTTP.
#[derive(Debug)]
pub struct Remote<W> {
    wire: W,
    client: Client,
    url: Url,
    /// The keys, as they are sent; empty: calls go out without one.
    bearers: Vec<HeaderValue>,
    /// What is taken out of everything that the provider says: the keys, and the values of configured headers.
    secrets: Vec<SecretString>,
    learned: Mutex<Memory>,
}

/// What was learned, by model; and which modes a model refuses for one schema, by a hash of its text.
#[derive(Debug, Default)]
struct Memory {
    models: HashMap<String, Learned>,
    schemas: HashMap<(String, u64), u8>,
}

/// Longest part of a provider's message that is passed on, in bytes.
const MAX_SAID_BYTES: usize = 500;
/// Models and schemas about which something is remembered; a caller may name any.
const MAX_LEARNED: usize = 1000;

impl<W: Wire> Remote<W> {
    pub fn new(wire: W, client: Client, base_url: &Url, keys: &[SecretString], headers: Vec<SecretString>) -> Self {
        let mut url = base_url.clone();
        url.set_path(&format!("{}/{}", base_url.path().trim_end_matches('/'), wire.path()));
        let bearers = keys.iter().filter_map(|key| HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).ok());
        let bearers = bearers.map(|mut bearer| {
            bearer.set_sensitive(true);
            bearer
        });
        let (bearers, secrets) = (bearers.collect(), keys.iter().cloned().chain(headers).collect());
        Self { wire, client, url, bearers, secrets, learned: Mutex::default() }
    }

    fn learned(&self, request: &Request<'_>) -> Learned {
        let memory = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        let mut learned = memory.models.get(request.model).copied().unwrap_or_default();
        if !memory.schemas.is_empty() {
            learned.refused_modes |= memory.schemas.get(&schema_key(request)).copied().unwrap_or_default();
        }
        learned
    }

    fn form(&self, request: &Request<'_>) -> Form {
        let learned = self.learned(request);
        let mode = match request.mode {
            Mode::Auto => {
                let open = |mode: &&Mode| learned.refused_modes & bit(**mode) == 0 && request.schema.forms.of(**mode).is_some();
                self.wire.modes().iter().find(open).copied().unwrap_or(Mode::Text)
            }
            mode => mode,
        };
        Form {
            mode,
            temperature: !learned.no_temperature,
            seed: request.seed.is_some() && !learned.no_seed,
            other_tokens_name: learned.other_tokens_name,
        }
    }

    /// Remembers a lesson. False when it was known already and so does not help.
    fn learn(&self, request: &Request<'_>, form: Form, lesson: Lesson) -> bool {
        let mut memory = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.models.len() + memory.schemas.len() >= MAX_LEARNED {
            *memory = Memory::default();
        }
        // Who names a mode wants that one or none.
        let has_choice = form.mode != Mode::Text && request.mode == Mode::Auto;
        if lesson == Lesson::Schema && has_choice {
            *memory.schemas.entry(schema_key(request)).or_default() |= bit(form.mode);
        }
        let learned = memory.models.entry(request.model.to_owned()).or_default();
        match lesson {
            Lesson::Schema => has_choice,
            Lesson::Mode => {
                learned.refused_modes |= if has_choice { bit(form.mode) } else { 0 };
                has_choice
            }
            Lesson::Temperature => {
                learned.no_temperature = true;
                form.temperature
            }
            Lesson::Seed => {
                learned.no_seed = true;
                form.seed
            }
            Lesson::TokensName => {
                learned.other_tokens_name = true;
                !form.other_tokens_name
            }
        }
    }

    fn body(&self, request: &Request<'_>, form: Form) -> Vec<u8> {
        if request.complaint.is_none()
            && let Some(cut) = request.template.0.get_or_init(|| Cut::new(&self.wire, request, form))
            && (cut.form, cut.max_output_tokens) == (form, request.max_output_tokens)
        {
            return cut.fill(request.input);
        }
        self.wire.encode(request, form)
    }

    async fn ask(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let form = self.form(request);
        let body = self.body(request, form);
        let response = self.client.post(&self.url, self.headers(request), body).await.map_err(|error| {
            let kind = match error {
                net::Error::Connect(_) => FailureKind::Connect,
                net::Error::Broken(_) | net::Error::TooLarge => FailureKind::Broken,
            };
            Failure::new(kind, error.to_string())
        })?;
        if response.status == StatusCode::OK {
            let answer = self.wire.decode(request, form, &response.body);
            let answer = answer.map(|answer| Answer { left: left(&response.headers), ..answer });
            return answer.map_err(|wrong| Failure::new(FailureKind::Broken, self.without_secrets(&wrong)));
        }
        Err(self.refusal(request, form, &response))
    }

    fn refusal(&self, request: &Request<'_>, form: Form, response: &net::Response) -> Failure {
        let said = self.wire.complaint(&response.body);
        let status = response.status.as_u16();
        let lesson = if matches!(status, 400 | 422 | 500 | 501) { self.wire.lesson(status, &said, form) } else { None };
        let kind = match lesson {
            Some(lesson) if self.learn(request, form, lesson) => {
                tracing::info!(
                    model = request.model,
                    mode = form.mode.as_str(),
                    ?lesson,
                    "the provider does not take this form; adapting"
                );
                FailureKind::Adapted
            }
            // Payment required: whatever words the provider has for it.
            _ if status == 402 || said.exhausted && matches!(status, 403 | 429) => FailureKind::Exhausted,
            _ if said.too_large && status == 429 => FailureKind::TooLong,
            _ => FailureKind::Status(status),
        };
        let should_retry = match response.headers.get("x-should-retry").map(HeaderValue::as_bytes) {
            Some(b"true") => Some(true),
            Some(b"false") => Some(false),
            _ => None,
        };
        let retry_after = net::retry_after(&response.headers, SystemTime::now());
        let detail = format!("{status}: {}", self.without_secrets(&said.message));
        Failure { kind, detail, retry_after, should_retry, left: left(&response.headers) }
    }

    fn headers(&self, request: &Request<'_>) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(bearer) = self.bearers.get(request.key) {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        if let Some(trace) = request.traceparent.and_then(|trace| HeaderValue::from_str(trace).ok()) {
            headers.insert("traceparent", trace);
        }
        headers
    }

    fn without_secrets(&self, message: &str) -> String {
        let secrets = self.secrets.iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty());
        let mut clean = secrets.fold(message.to_owned(), |message, secret| message.replace(secret, "****"));
        clean.truncate(clean.floor_char_boundary(MAX_SAID_BYTES));
        clean
    }
}

const REMAINING_REQUESTS: [(HeaderName, HeaderName); 2] = [
    (HeaderName::from_static("x-ratelimit-limit-requests"), HeaderName::from_static("x-ratelimit-remaining-requests")),
    (
        HeaderName::from_static("anthropic-ratelimit-requests-limit"),
        HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    ),
];
const REMAINING_TOKENS: [(HeaderName, HeaderName); 2] = [
    (HeaderName::from_static("x-ratelimit-limit-tokens"), HeaderName::from_static("x-ratelimit-remaining-tokens")),
    (
        HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
        HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
    ),
];

/// What the headers say is left: OpenAI's names, which most servers use, and Anthropic's
/// (<https://platform.openai.com/docs/guides/rate-limits>, <https://docs.anthropic.com/en/api/rate-limits>, read 2026-11).
/// A limit of 0 or less means that there is none.
fn left(headers: &HeaderMap) -> Left {
    let number = |name: &HeaderName| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let read = |names: &[(HeaderName, HeaderName)]| {
        names.iter().find_map(|(limit, remaining)| {
            let remaining = u64::try_from(number(remaining)?).ok()?;
            number(limit).is_none_or(|limit| limit > 0).then_some(remaining)
        })
    };
    Left { requests: read(&REMAINING_REQUESTS), tokens: read(&REMAINING_TOKENS) }
}

fn schema_key(request: &Request<'_>) -> (String, u64) {
    let mut hasher = DefaultHasher::new();
    request.schema.raw.get().hash(&mut hasher);
    (request.model.to_owned(), hasher.finish())
}

const fn bit(mode: Mode) -> u8 {
    1 << mode as u8
}

impl<W: Wire> Provider for Remote<W> {
    fn call<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.ask(request))
    }

    fn modes(&self) -> &'static [Mode] {
        self.wire.modes()
    }

    fn subset(&self, mode: Mode) -> &'static Subset {
        self.wire.subset(mode)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Forms;
    use crate::provider::{OpenAi, Schema};

    #[test]
    fn a_filled_template_is_what_encoding_gives() {
        let value = std::sync::Arc::new(json!({"type": "object"}));
        let raw = serde_json::value::to_raw_value(&*value).unwrap();
        let (template, forms) = (Template::default(), Forms::default());
        let asked = |input| Request {
            model: "m",
            mode: Mode::Auto,
            schema: Schema { value: &value, raw: &raw, forms: &forms, examples: &[] },
            instructions: Some("Say \"yes\"."),
            examples: &[],
            input,
            complaint: None,
            temperature: 0.0,
            max_output_tokens: Some(9),
            seed: None,
            template: &template,
            traceparent: None,
            key: 0,
        };
        let wire = OpenAi::at("127.0.0.1");
        let form = Form { mode: Mode::JsonSchema, temperature: true, seed: false, other_tokens_name: false };
        let cut = Cut::new(&wire, &asked("first"), form).unwrap();
        for text in ["", "plain", "a \"quote\"\nand \\ more\u{1}", "</text> out?", "Ünïcödé 🦀", PLACEHOLDER] {
            assert_eq!(cut.fill(text), wire.encode(&asked(text), form), "{text}");
        }
    }

    #[test]
    fn what_is_left_is_read_and_what_is_no_limit_is_not() {
        for (name, limit, remaining, expected) in [
            ("x-ratelimit", "60000", "123", Some(123)),
            ("x-ratelimit", "60000", "0", Some(0)),
            ("x-ratelimit", "0", "0", None),
            ("x-ratelimit", "-1", "-1", None),
            ("x-ratelimit", "60000", "-5", None),
            ("x-ratelimit", "60000", "many", None),
            ("anthropic-ratelimit", "80000", "77", Some(77)),
        ] {
            let mut headers = HeaderMap::new();
            let name = |what: &str| match name {
                "x-ratelimit" => HeaderName::try_from(format!("x-ratelimit-{what}-tokens")).unwrap(),
                _ => HeaderName::try_from(format!("anthropic-ratelimit-tokens-{what}")).unwrap(),
            };
            headers.insert(name("limit"), limit.parse().unwrap());
            headers.insert(name("remaining"), remaining.parse().unwrap());
            assert_eq!(left(&headers), Left { requests: None, tokens: expected }, "{limit} {remaining}");
        }
    }
}
