//! Settings of the traces, from the standard `OTEL_…` environment variables.
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/> (November 2026)
//!
//! A variable with an invalid value is named in a warning and counts as unset: traces are never a reason not to start.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;

/// Endpoint of a collector on the same machine, for `OTEL_TRACES_EXPORTER=otlp` without an endpoint.
const LOCAL_COLLECTOR: &str = "http://localhost:4318";
/// Maximum size of the queue, which is allocated at the start, and of a batch.
const MAX_SPANS: usize = 1_000_000;
/// Path of the traces below `OTEL_EXPORTER_OTLP_ENDPOINT`.
const TRACES_PATH: &str = "/v1/traces";

/// Settings of the export of traces.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// URL to which spans are posted.
    pub endpoint: String,
    /// Timeout of one export, with its retries.
    pub timeout: Duration,
    /// True if bodies are compressed with gzip.
    pub is_compressed: bool,
    /// PEM file of the root certificates that are trusted in addition.
    pub ca: Option<PathBuf>,
    /// PEM files of the client's certificate and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Attributes of the service.
    pub(super) resource: Vec<(String, String)>,
    pub(super) sampler: Sampler,
    /// Longest wait of a span before it is exported.
    pub(super) delay: Duration,
    /// Maximum number of spans that wait; further ones are dropped.
    pub(super) queue: usize,
    /// Maximum number of spans in one export.
    pub(super) batch: usize,
    /// True if spans have the texts of prompts and answers.
    pub(super) captures_content: bool,
}

/// Result of reading the environment.
#[derive(Debug)]
pub struct TraceVariables {
    /// `None`: traces are off.
    pub settings: Option<TraceSettings>,
    /// Variables that have no effect, for the log; without secrets.
    pub warnings: Vec<String>,
}

impl TraceVariables {
    /// Reads the variables. A variable whose value is blank counts as unset.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader {
            variable: &variable,
            warnings: Vec::new(),
        };
        let settings = reader.settings();
        Self {
            settings,
            warnings: reader.warnings,
        }
    }
}

/// Reader of the variables, which collects warnings.
struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn settings(&mut self) -> Option<TraceSettings> {
        if self.boolean("OTEL_SDK_DISABLED") || !self.exports_traces() {
            return None;
        }
        let endpoint = self.endpoint()?;
        self.check_headers();
        let queue = self.number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048);
        let batch = self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512);
        let timeout = self.milliseconds(&otlp_names("TIMEOUT"), 10_000);
        Some(TraceSettings {
            endpoint,
            // Both bound one export.
            timeout: timeout.min(self.milliseconds(&["OTEL_BSP_EXPORT_TIMEOUT".into()], 30_000)),
            is_compressed: self.is_compressed(),
            ca: self.path("CERTIFICATE"),
            identity: self.identity(),
            resource: self.resource(),
            sampler: self.sampler(),
            delay: self.milliseconds(&["OTEL_BSP_SCHEDULE_DELAY".into()], 5_000),
            queue,
            batch: batch.min(queue),
            captures_content: self.captures_content(),
        })
    }

    fn get(&self, name: &str) -> Option<String> {
        let value = (self.variable)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// Returns the first of these variables that is set, with its name.
    fn first<'n>(&self, names: &'n [String]) -> Option<(&'n str, String)> {
        names
            .iter()
            .find_map(|name| Some((name.as_str(), self.get(name)?)))
    }

    /// Warns about a value, and names what is used in its place.
    fn warn(&mut self, name: &str, value: &str, expected: &str, used: &str) {
        self.warnings.push(format!(
            "the environment variable {name} is {value:?}, but must be {expected}; {used}"
        ));
    }

    fn boolean(&mut self, name: &str) -> bool {
        let Some(value) = self.get(name) else {
            return false;
        };
        match value.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.warn(name, &value, "true or false", "false is used");
                false
            }
        }
    }

    fn number(&mut self, name: &str, default: usize) -> usize {
        let Some(value) = self.get(name) else {
            return default;
        };
        if let Ok(number @ 1..=MAX_SPANS) = value.parse() {
            return number;
        }
        let expected = "a whole number between 1 and 1,000,000";
        self.warn(name, &value, expected, &format!("{default} is used"));
        default
    }

    fn milliseconds(&mut self, names: &[String], default: u64) -> Duration {
        let default_time = Duration::from_millis(default);
        let Some((name, value)) = self.first(names) else {
            return default_time;
        };
        if let Ok(milliseconds @ 1..) = value.parse() {
            return Duration::from_millis(milliseconds);
        }
        let used = format!("{default} ms are used");
        self.warn(name, &value, "a whole number of milliseconds", &used);
        default_time
    }

    /// Returns true if traces are exported by OTLP, or nothing is said about it.
    fn exports_traces(&mut self) -> bool {
        const NAME: &str = "OTEL_TRACES_EXPORTER";
        let Some(value) = self.get(NAME) else {
            return true;
        };
        let mut exporters = value.split(',').map(str::trim);
        if exporters.clone().any(|exporter| exporter == "otlp") {
            return true;
        }
        if !exporters.all(|exporter| exporter == "none") {
            self.warn(NAME, &value, "otlp or none", "no traces are exported");
        }
        false
    }

    /// Returns the URL for the traces. `None`: traces are off, or cannot be sent.
    fn endpoint(&mut self) -> Option<String> {
        let names = otlp_names("ENDPOINT");
        let [specific, general] = &names;
        let (name, url) = if let Some(url) = self.get(specific) {
            (&**specific, url)
        } else if let Some(base) = self.get(general) {
            let url = [base.trim_end_matches('/'), TRACES_PATH].concat();
            (&**general, url)
        } else if self.get("OTEL_TRACES_EXPORTER").is_some() {
            (&**general, [LOCAL_COLLECTOR, TRACES_PATH].concat())
        } else {
            return None;
        };
        if let Some((name, protocol)) = self.first(&otlp_names("PROTOCOL"))
            && protocol != "http/protobuf"
        {
            let used = "no traces are exported; name the collector's port for OTLP over HTTP, usually 4318";
            self.warn(name, &protocol, "http/protobuf", used);
            return None;
        }
        if !is_http_url(&url) {
            // The URL may have a password.
            self.warnings.push(format!(
                "the environment variable {name} is not the URL of a collector, such as {LOCAL_COLLECTOR}; no traces are exported"
            ));
            return None;
        }
        Some(url)
    }

    /// Warns about headers that the exporter leaves out. Names them by their position, because they may be secrets.
    fn check_headers(&mut self) {
        let names = otlp_names("HEADERS");
        let Some((name, headers)) = self.first(&names) else {
            return;
        };
        let invalid: Vec<_> = headers
            .split_terminator(',')
            .enumerate()
            .filter(|(_, header)| !is_valid_header(header))
            .map(|(at, _)| (at + 1).to_string())
            .collect();
        if !invalid.is_empty() {
            self.warnings.push(format!(
                "the environment variable {name} must be a list such as name=value,name2=value2 with percent-encoded values; not sent: entry {}",
                invalid.join(", ")
            ));
        }
    }

    fn is_compressed(&mut self) -> bool {
        let names = otlp_names("COMPRESSION");
        match self.first(&names) {
            None => false,
            Some((_, value)) if value == "gzip" => true,
            Some((_, value)) if value == "none" => false,
            Some((name, value)) => {
                self.warn(name, &value, "gzip or none", "none is used");
                false
            }
        }
    }

    fn path(&self, suffix: &str) -> Option<PathBuf> {
        Some(self.first(&otlp_names(suffix))?.1.into())
    }

    fn identity(&mut self) -> Option<(PathBuf, PathBuf)> {
        let [certificate, key] = ["CLIENT_CERTIFICATE", "CLIENT_KEY"].map(|name| self.path(name));
        if certificate.is_some() != key.is_some() {
            let warning = "of OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY one is missing; no client certificate is sent to the collector";
            self.warnings.push(warning.to_owned());
        }
        certificate.zip(key)
    }

    /// Returns the attributes of the service: the default ones, then those of `OTEL_RESOURCE_ATTRIBUTES`, then the name.
    fn resource(&mut self) -> Vec<(String, String)> {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let mut attributes = vec![
            ("service.name".to_owned(), "extractd".to_owned()),
            (
                "service.version".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
            ),
            (
                "service.instance.id".to_owned(),
                crate::types::ids::new_uuid().to_string(),
            ),
        ];
        let list = self.get(NAME).unwrap_or_default();
        for entry in list.split_terminator(',').map(str::trim) {
            let attribute = entry.split_once('=').filter(|(key, _)| !key.is_empty());
            match attribute {
                Some((key, value)) => attributes.push((decoded(key), decoded(value))),
                None => self.warn(NAME, entry, "key=value,key2=value2", "the entry is ignored"),
            }
        }
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            attributes.push(("service.name".to_owned(), name));
        }
        attributes
    }

    fn sampler(&mut self) -> Sampler {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let name = self
            .get(NAME)
            .unwrap_or_else(|| "parentbased_always_on".to_owned());
        let (is_parent_based, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, &*name),
        };
        let root = match kind {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => Sampler::TraceIdRatioBased(self.ratio()),
            _ => {
                let expected =
                    "always_on, always_off or traceidratio, each alone or after parentbased_";
                self.warn(NAME, &name, expected, "parentbased_always_on is used");
                return Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
            }
        };
        if is_parent_based {
            Sampler::ParentBased(Box::new(root))
        } else {
            root
        }
    }

    /// Returns the share of traces that are recorded.
    fn ratio(&mut self) -> f64 {
        const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(value) = self.get(NAME) else {
            return 1.0;
        };
        match f64::from_str(&value) {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
            _ => {
                self.warn(NAME, &value, "a number from 0 to 1", "1 is used");
                1.0
            }
        }
    }

    /// Returns true if spans have texts. The values are those of OpenTelemetry's own instrumentations, which may write texts to
    /// events, too; here there are none.
    fn captures_content(&mut self) -> bool {
        const NAME: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
        let Some(value) = self.get(NAME) else {
            return false;
        };
        match value.to_ascii_lowercase().as_str() {
            "true" | "span_only" | "span_and_event" => true,
            "false" | "no_content" | "event_only" => false,
            _ => {
                self.warn(NAME, &value, "true or false", "spans have no texts");
                false
            }
        }
    }
}

/// Returns the names of an exporter's variable: for traces only, then for all signals.
fn otlp_names(suffix: &str) -> [String; 2] {
    ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"].map(|prefix| format!("{prefix}{suffix}"))
}

fn is_http_url(url: &str) -> bool {
    url.parse::<Uri>()
        .is_ok_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some())
}

fn is_valid_header(header: &str) -> bool {
    header.split_once('=').is_some_and(|(name, value)| {
        let value = percent_decode_str(value.trim()).decode_utf8();
        HeaderName::from_str(name.trim()).is_ok()
            && value.is_ok_and(|value| HeaderValue::from_str(&value).is_ok())
    })
}

fn decoded(text: &str) -> String {
    let text = text.trim();
    percent_decode_str(text)
        .decode_utf8()
        .map_or_else(|_| text.to_owned(), Into::into)
}

#[cfg(test)]
mod tests;
