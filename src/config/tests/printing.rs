use super::Start;

fn full() -> Start {
    Start::file(
        "model = \"fast\"\n\
         [server]\nhosts = [\"a.example\", \"b.example\"]\n\
         [providers.vllm]\nkind = \"openai\"\nbase_url = \"http://vllm:8000/v1\"\napi_key = \"sk-0123456789abcdef\"\n\
         proxy = \"http://me:hush@proxy:3128\"\nrequests_per_minute = 500\n\
         [providers.vllm.headers]\nX-Key = \"short\"\n\
         [models.fast]\nprovider = \"vllm\"\n\
         [models.\"llama3.1\"]\nprovider = \"local\"\n",
    )
    .with_env(&[("EXTRACTD_API_KEYS", "caller-key-one,two"), ("EXTRACTD_MAX_QUEUE", "12")])
    .with_args(|args| args.listen = Some("127.0.0.1:0".to_owned()))
}

#[test]
fn each_line_says_where_it_came_from_and_shows_no_secret() {
    let expected = r#"listen = "127.0.0.1:0" # flag --listen
model = "fast" # file extractd.toml:1
data_dir = "./data" # default
# schemas_dir is not set

[server]
api_keys = ["****-one", "****"] # environment EXTRACTD_API_KEYS
allow_anonymous = false # default
cors_origins = [] # default
hosts = ["a.example", "b.example"] # file extractd.toml:3
shutdown_grace_ms = 30000 # default
max_body_bytes = 67108864 # default
max_line_bytes = 1048576 # default
header_timeout_ms = 10000 # default

[limits]
max_concurrency = 64 # default
max_queue = 12 # environment EXTRACTD_MAX_QUEUE
max_queue_bytes = 1073741824 # default
max_ordered_bytes = 268435456 # default
max_wait_ms = 60000 # default
max_batch_wait_ms = 600000 # default

[log]
filter = "info" # default
format = "text" # default

[local]
# model_path is not set
# threads is not set
parallel = 4 # default
context_tokens = 2048 # default

[providers.vllm]
kind = "openai" # file extractd.toml:5
base_url = "http://vllm:8000/v1" # file extractd.toml:6
api_key = "****cdef" # file extractd.toml:7
proxy = "http://****@proxy:3128" # file extractd.toml:8
requests_per_minute = 500 # file extractd.toml:9
request_burst = 1 # default
connect_timeout_ms = 10000 # default

[providers.vllm.headers]
X-Key = "****" # file extractd.toml:11

[models.fast]
provider = "vllm" # file extractd.toml:13
model = "fast" # default
mode = "auto" # default

[models."llama3.1"]
provider = "local" # file extractd.toml:15
model = "llama3.1" # default
mode = "auto" # default
"#;
    assert_eq!(full().load().expect("valid").print(), expected);
}

#[test]
fn the_printed_file_gives_the_same_configuration() {
    let openai =
        Start::env(&[("OPENAI_API_KEY", "sk-0123456789"), ("EXTRACTD_MODEL", "openai/gpt"), ("EXTRACTD_REQUEST_BURST", "2")])
            .with_args(|args| args.requests_per_minute = Some("600".to_owned()));
    let odd = Start::file("data_dir = \"a \\\"b\\\"\\n# \\\\ é\"\n[local]\nthreads = 2\n[log]\nfilter = \"info,x=debug\"");
    for start in [Start::default(), full(), openai, odd] {
        let first = start.load().expect("valid");
        let printed = first.print();
        let again = Start::file(&printed).load().unwrap_or_else(|error| panic!("{error}:\n{printed}"));
        assert!(printed.parse::<toml::Table>().is_ok());
        assert_eq!(unplaced(&again.config), unplaced(&first.config));
    }
}

/// The configuration without its secrets, which `Debug` masks, and without where it was set.
fn unplaced(config: &crate::config::Config) -> String {
    let mut config = config.clone();
    for provider in config.providers.values_mut() {
        provider.origin = crate::config::Origin::Default;
    }
    format!("{config:?}")
}

#[test]
fn neither_debug_nor_print_shows_a_secret() {
    let loaded = full().load().expect("valid");
    let shown = format!("{loaded:?}\n{}", loaded.print());
    for secret in ["0123456789", "hush", "short", "caller-key", "\"two\""] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
