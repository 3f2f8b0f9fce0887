use super::Start;
use crate::config::{Config, Origin};

fn full() -> Start {
    Start::file(
        "model = \"fast\"\ncallers_file = \"callers.toml\"\n\
         [server]\nhosts = [\"a.example\", \"b.example\"]\n\
         [providers.vllm]\nkind = \"openai\"\nbase_url = \"http://vllm:8000/v1\"\napi_key = \"sk-0123456789abcdef\"\n\
         proxy = \"http://me:hush@proxy:3128\"\nrequests_per_minute = 500\ntokens_per_minute = 90000\ntimeout_ms = 30000\n\
         [providers.vllm.headers]\nX-Key = \"short\"\n\
         [providers.other]\nkind = \"openai\"\nbase_url = \"http://other\"\napi_keys = [\"sk-0123456789-one\", \"sk-0123456789-two\"]\n\
         [models.fast]\nprovider = \"vllm\"\nfallback = [\"llama3.1\", \"other/m\"]\n\
         input_usd_per_million_tokens = 0.15\noutput_usd_per_million_tokens = 1\n\
         [models.\"llama3.1\"]\nprovider = \"local\"\n\
         [cache]\nmax_bytes = 1048576\n\
         [jobs]\nretention_ms = 604800000\nallow_private_webhooks = true\n\
         [callers.web]\nkey = \"key-of-web-0123\"\nmax_queue = 9\nbudget_usd_per_day = 2.5\n",
    )
    .with_env(&[("EXTRACTD_API_KEYS", "caller-key-one,two"), ("EXTRACTD_MAX_QUEUE", "12")])
    .with_args(|args| args.listen = Some("127.0.0.1:0".to_owned()))
    .with_callers()
}

impl Start {
    /// Returns the text of `callers_file`, and the key file that it names.
    fn with_callers(self) -> Self {
        let batch = "[callers.batch]\nkey_env = \"BATCH_KEY\"\nmax_concurrency = 2\n";
        let night = "[callers.night]\nkey_file = \"a\\nb\"\n";
        self.with_file("callers.toml", &format!("{batch}{night}"))
            .with_file("a\nb", "key-of-night")
            .with_env(&[("BATCH_KEY", "key-of-batch")])
    }
}

const PRINTED: &str = r#"listen = "127.0.0.1:0" # flag --listen
model = "fast" # file extractd.toml:1
data_dir = "./data" # default
# schemas_dir is not set
callers_file = "callers.toml" # file extractd.toml:2

[server]
api_keys = ["****-one", "****"] # environment EXTRACTD_API_KEYS
allow_anonymous = false # default
metrics_access = "operator" # default
cors_origins = [] # default
hosts = ["a.example", "b.example"] # file extractd.toml:4
shutdown_grace_ms = 30000 # default
max_body_bytes = 67108864 # default
max_line_bytes = 1048576 # default
header_timeout_ms = 10000 # default
idle_timeout_ms = 60000 # default

[limits]
max_concurrency = 64 # default
max_queue = 12 # environment EXTRACTD_MAX_QUEUE
max_queue_bytes = 1073741824 # default
# max_memory_bytes is not set
max_ordered_bytes = 268435456 # default
max_wait_ms = 60000 # default
max_batch_wait_ms = 600000 # default

[cache]
shared = false # default
max_bytes = 1048576 # file extractd.toml:27
ttl_ms = 3600000 # default

[schemas]
shared = false # default
max_per_caller = 1000 # default
max_bytes_per_caller = 16777216 # default

[jobs]
retention_ms = 604800000 # file extractd.toml:29
link_ttl_ms = 3600000 # default
max_running_per_caller = 8 # default
max_per_caller = 100000 # default
max_bytes_per_caller = 10737418240 # default
max_stored_bytes = 53687091200 # default
allow_private_webhooks = true # file extractd.toml:30

[log]
filter = "info" # default
format = "text" # default

[local]
# model_path is not set
# threads is not set
parallel = 4 # default
context_tokens = 2048 # default

[providers.other]
kind = "openai" # file extractd.toml:16
base_url = "http://other" # file extractd.toml:17
api_keys = ["****-one", "****-two"] # file extractd.toml:18
# proxy is not set
# ca_file is not set
# client_cert is not set
# client_key is not set
# requests_per_minute is not set
# request_burst is not set
# tokens_per_minute is not set
# max_concurrency is not set
adaptive_concurrency = true # default
connect_timeout_ms = 10000 # default
# timeout_ms is not set

[providers.vllm]
kind = "openai" # file extractd.toml:6
base_url = "http://vllm:8000/v1" # file extractd.toml:7
api_key = "****cdef" # file extractd.toml:8
proxy = "http://****@proxy:3128" # file extractd.toml:9
# ca_file is not set
# client_cert is not set
# client_key is not set
requests_per_minute = 500 # file extractd.toml:10
request_burst = 1 # default
tokens_per_minute = 90000 # file extractd.toml:11
# max_concurrency is not set
adaptive_concurrency = true # default
connect_timeout_ms = 10000 # default
timeout_ms = 30000 # file extractd.toml:12

[providers.vllm.headers]
X-Key = "****" # file extractd.toml:14

[models.fast]
provider = "vllm" # file extractd.toml:20
model = "fast" # default
mode = "auto" # default
fallback = ["llama3.1", "other/m"] # file extractd.toml:21
fallback_on = ["unavailable", "unknown_model", "too_long", "invalid", "rejected"] # default
# max_concurrency is not set
input_usd_per_million_tokens = 0.15 # file extractd.toml:22
output_usd_per_million_tokens = 1.0 # file extractd.toml:23

[models."llama3.1"]
provider = "local" # file extractd.toml:25
model = "llama3.1" # default
mode = "auto" # default
fallback = [] # default
fallback_on = ["unavailable", "unknown_model", "too_long", "invalid", "rejected"] # default
# max_concurrency is not set
# input_usd_per_million_tokens is not set
# output_usd_per_million_tokens is not set

[callers.web]
key = "****0123" # file extractd.toml:32
# requests_per_minute is not set
# tokens_per_minute is not set
# max_concurrency is not set
max_queue = 9 # file extractd.toml:33
budget_usd_per_day = 2.5 # file extractd.toml:34
role = "caller" # default
# models is not set

# [callers.batch]
# key_env = "BATCH_KEY" # file callers.toml:2
# requests_per_minute is not set
# tokens_per_minute is not set
# max_concurrency = 2 # file callers.toml:3
# max_queue is not set
# budget_usd_per_day is not set
# role = "caller" # default
# models is not set

# [callers.night]
# key_file = """
# a
# b""" # file callers.toml:5
# requests_per_minute is not set
# tokens_per_minute is not set
# max_concurrency is not set
# max_queue is not set
# budget_usd_per_day is not set
# role = "caller" # default
# models is not set
"#;

#[test]
fn each_printed_line_names_its_source_and_masks_secrets() {
    assert_eq!(full().load().expect("valid").print(), PRINTED);
}

#[test]
fn the_printed_file_gives_the_same_configuration() {
    let openai = Start::env(&[
        ("OPENAI_API_KEY", "sk-0123456789"),
        ("EXTRACTD_MODEL", "openai/gpt"),
        ("EXTRACTD_REQUEST_BURST", "2"),
    ])
    .with_args(|args| args.requests_per_minute = Some("600".to_owned()));
    let odd = Start::file(
        "data_dir = \"a \\\"b\\\"\\n# \\\\ é\"\n[local]\nthreads = 2\n[log]\nfilter = \"info,x=debug\"",
    );
    for start in [Start::default(), full(), openai, odd] {
        let first = start.load().expect("valid");
        let printed = first.print();
        let again = Start::file(&printed)
            .with_callers()
            .load()
            .unwrap_or_else(|error| panic!("{error}:\n{printed}"));
        assert!(printed.parse::<toml::Table>().is_ok());
        assert_eq!(unplaced(&again.config), unplaced(&first.config));
    }
}

/// Returns the configuration without its secrets, which `Debug` masks, and without where it was set.
fn unplaced(config: &Config) -> String {
    let mut config = config.clone();
    for provider in config.providers.values_mut() {
        provider.origin = Origin::Default;
    }
    for caller in &mut config.callers {
        caller.origin = Origin::Default;
    }
    format!("{config:?}")
}

#[test]
fn neither_debug_nor_print_shows_a_secret() {
    let loaded = full().load().expect("valid");
    let shown = format!("{loaded:?}\n{}", loaded.print());
    for secret in [
        "0123456789",
        "hush",
        "short",
        "caller-key",
        "\"two\"",
        "key-of-",
    ] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
