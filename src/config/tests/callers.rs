//! Callers from their three sources: `server.api_keys`, `[callers.NAME]` and `callers_file`.

use std::{io, path::Path};

use sha2::{Digest as _, Sha256};

use super::Start;
use crate::config::{Caller, Error, Quota, join_callers, read_callers};
use crate::types::{CallerAccess, Role, Usd};

/// Output of `printf %s key-of-batch | sha256sum`.
const OF_BATCH: &str = "58083815";

fn sha256(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

fn hex(key: &str) -> String {
    let halves = sha256(key);
    let [high, low] = [&halves[..16], &halves[16..]]
        .map(|half| u128::from_be_bytes(half.try_into().expect("16 bytes")));
    format!("{high:032x}{low:032x}")
}

fn names(callers: &[Caller]) -> Vec<&str> {
    callers.iter().map(|caller| caller.name.as_str()).collect()
}

fn parse_file(text: &str) -> Result<Vec<Caller>, Error> {
    let environment = [
        ("BATCH_KEY".to_owned(), "key-of-batch".to_owned()),
        ("EMPTY".to_owned(), String::new()),
    ];
    let file = |path: &Path| match path.to_str() {
        Some("key") => Ok("key-of-file\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    read_callers(Path::new("callers.toml"), text, environment, file)
}

#[test]
fn a_key_from_any_source_is_stored_as_its_digest() {
    let text = format!(
        "[callers.a]\nkey = \"key-of-a\"\n[callers.b]\nkey_env = \"BATCH_KEY\"\n[callers.\"c.1\"]\nkey_file = \"key\"\n\
         [callers.d]\nkey_sha256 = \"{}\"\n[callers.e]\nkey_sha256 = \"{}\"",
        hex("key-of-d"),
        hex("key-of-e").to_uppercase(),
    );
    let callers = parse_file(&text).expect("valid");
    assert_eq!(names(&callers), ["a", "b", "c.1", "d", "e"]);
    let digests: Vec<_> = callers.iter().map(|caller| caller.key_sha256).collect();
    assert_eq!(
        digests,
        [
            "key-of-a",
            "key-of-batch",
            "key-of-file",
            "key-of-d",
            "key-of-e"
        ]
        .map(sha256)
    );
    assert!(
        hex("key-of-batch").starts_with(OF_BATCH),
        "{}",
        hex("key-of-batch")
    );
}

#[test]
fn a_quota_has_five_limits_and_none_by_default() {
    let text = "[callers.a]\nkey = \"k1\"\n\
                [callers.b]\nkey = \"k2\"\nrequests_per_minute = 60\ntokens_per_minute = 1_000_000_000\nmax_concurrency = 3\n\
                max_queue = 4\nbudget_usd_per_day = 2.5\n\
                [callers.c]\nkey = \"k3\"\nbudget_usd_per_day = 10";
    let callers = parse_file(text).expect("valid");
    let [a, b, c] = callers.as_slice() else {
        panic!("three callers")
    };
    assert_eq!(a.quota, Quota::default());
    let counts = [
        b.quota.requests_per_minute,
        b.quota.tokens_per_minute,
        b.quota.max_concurrency,
        b.quota.max_queue,
    ];
    assert_eq!(
        counts.map(|count| count.map_or(0, u32::from)),
        [60, 1_000_000_000, 3, 4]
    );
    assert_eq!(
        (b.quota.budget_per_day, c.quota.budget_per_day),
        (Usd::from_dollars(2.5), Usd::from_dollars(10.0))
    );
}

#[test]
fn errors_of_the_callers_file_name_position_and_allowed_values() {
    let long = "x".repeat(65);
    for (text, expected) in [
        ("x = 1", "callers.toml:1:1: unknown key `x` at the top level; allowed: callers"),
        ("[caller.a]\nkey = \"k\"", "callers.toml:1:2: unknown key `caller` at the top level; did you mean `callers`? allowed: callers"),
        ("callers = 1", "callers.toml:1:1: `callers` must be a table: [callers]"),
        ("[callers]\na = \"key\"", "callers.toml:2:1: `callers.a` must be a table: [callers.a]"),
        ("[callers.a", "callers.toml:1:11: not valid TOML: unclosed table, expected `]`"),
        (
            "[callers.a]\nkey = \"k\"\ntoken_per_minute = 1",
            "callers.toml:3:1: unknown key `token_per_minute` in [callers.a]; did you mean `tokens_per_minute`? allowed: key, key_env, key_file, key_sha256, requests_per_minute, tokens_per_minute, max_concurrency, max_queue, budget_usd_per_day, role, models",
        ),
        (
            "[callers.a]\nmax_queue = 1",
            "callers.toml:1:10: [callers.a] has no key; set one of `key`, `key_env`, `key_file` and `key_sha256`",
        ),
        (
            "[callers.a]\nkey = \"k\"\nkey_sha256 = \"00\"",
            "callers.toml:3:1: `callers.a.key_sha256` and `callers.a.key` are both set; keep one",
        ),
        ("[callers.a]\nkey = 1234", "callers.toml:2:1: `callers.a.key` must be a string"),
        ("[callers.a]\nkey = \"\"", "callers.toml:2:1: `callers.a.key` holds an empty key"),
        ("[callers.a]\nkey_env = \"NOPE\"", "callers.toml:2:1: `callers.a.key_env` names a variable that is not set"),
        ("[callers.a]\nkey_env = \"EMPTY\"", "callers.toml:2:1: `callers.a.key_env` names a variable that is not set"),
        ("[callers.a]\nkey_file = \"nope\"", "callers.toml:2:1: cannot read the file nope"),
        (
            "[callers.a]\nkey_sha256 = \"00\"",
            "callers.toml:2:1: `callers.a.key_sha256` must be the SHA-256 of the key, in 64 hexadecimal digits",
        ),
        (
            "[callers.a]\nkey = \"k\"\nbudget_usd_per_day = 0",
            "callers.toml:3:1: `callers.a.budget_usd_per_day` must be a number of US dollars over 0, up to 10000000, not `0`",
        ),
        (
            "[callers.a]\nkey = \"k\"\nbudget_usd_per_day = nan",
            "callers.toml:3:1: `callers.a.budget_usd_per_day` must be a number of US dollars over 0, up to 10000000, not `nan`",
        ),
        (
            "[callers.a]\nkey = \"k\"\nmax_queue = 0",
            "callers.toml:3:1: `callers.a.max_queue` must be a whole number from 1 to 10000000, not `0`",
        ),
        (
            "[callers.\"a b\"]\nkey = \"k\"",
            "callers.toml:1:10: [callers.\"a b\"]: a caller's name has up to 64 letters, digits and . _ -, and begins with a letter or a digit",
        ),
        (
            "[callers.-a]\nkey = \"k\"",
            "callers.toml:1:10: [callers.-a]: a caller's name has up to 64 letters, digits and . _ -, and begins with a letter or a digit",
        ),
        (
            format!("[callers.{long}]\nkey = \"k\"").as_str(),
            format!("callers.toml:1:10: [callers.{long}]: a caller's name has up to 64 letters, digits and . _ -, and begins with a letter or a digit").as_str(),
        ),
    ] {
        assert_eq!(parse_file(text).expect_err(text).to_string(), expected, "{text}");
    }
}

#[test]
fn a_digest_has_64_hexadecimal_digits() {
    let right = hex("key");
    for wrong in [
        &right[1..],
        &format!("{right}0"),
        &format!("+{}", &right[1..]),
        &format!("{}g", &right[1..]),
        &"é".repeat(32),
    ] {
        assert!(
            parse_file(&format!("[callers.a]\nkey_sha256 = \"{wrong}\"")).is_err(),
            "{wrong}"
        );
    }
    assert!(parse_file(&format!("[callers.a]\nkey_sha256 = \"{right}\"")).is_ok());
}

#[test]
fn callers_come_from_api_keys_configuration_and_callers_file() {
    let start = Start::file(
        "callers_file = \"more.toml\"\n[callers.web]\nkey = \"key-of-web\"\nmax_queue = 5",
    )
    .with_file("more.toml", "[callers.batch]\nkey = \"key-of-batch\"")
    .with_env(&[("EXTRACTD_API_KEYS", "key-a,key-b")]);
    let config = start.config();
    assert_eq!(names(&config.callers), ["key-1", "key-2", "web"]);
    assert_eq!(
        config
            .callers
            .iter()
            .map(|caller| caller.key_sha256)
            .collect::<Vec<_>>(),
        ["key-a", "key-b", "key-of-web"].map(sha256)
    );
    assert_eq!(
        (
            config.callers[0].quota,
            config.callers[2].quota.max_queue.map(u32::from)
        ),
        (Quota::default(), Some(5))
    );
    assert_eq!(
        (names(&config.file_callers), config.callers_file),
        (vec!["batch"], Some("more.toml".into()))
    );

    let joined = join_callers(&config.callers, &config.file_callers).expect("no clash");
    assert_eq!(names(&joined), ["key-1", "key-2", "web", "batch"]);
}

#[test]
fn the_environment_overrides_the_callers_file() {
    let start = Start::file("callers_file = \"a.toml\"")
        .with_file("b.toml", "[callers.b]\nkey = \"k\"")
        .with_env(&[("EXTRACTD_CALLERS_FILE", "b.toml")]);
    assert_eq!(names(&start.config().file_callers), ["b"]);
}

#[test]
fn an_invalid_callers_file_is_rejected_at_the_start() {
    let start = Start::file("\ncallers_file = \"more.toml\"");
    assert_eq!(
        start.error(),
        "extractd.toml:2:1: cannot read the file more.toml"
    );
    let wrong = start.with_file("more.toml", "[callers.a]\nkey = \"k\"\nmax_queue = -1");
    assert_eq!(
        wrong.error(),
        "more.toml:3:1: `callers.a.max_queue` must be a whole number from 1 to 10000000, not `-1`"
    );
}

#[test]
fn names_and_keys_of_callers_are_unique() {
    let file = "callers_file = \"more.toml\"\n[callers.web]\nkey = \"key-of-web\"";
    for (keys, more, expected) in [
        (
            "",
            "[callers.web]\nkey = \"another\"",
            "more.toml:1:10: the caller `web` is already configured (extractd.toml:2:10); each caller needs a name of its own",
        ),
        (
            "",
            "[callers.shop]\nkey = \"key-of-web\"",
            "more.toml:1:10: the callers `web` (extractd.toml:2:10) and `shop` have the same key; each caller needs a key of its own",
        ),
        (
            "",
            "[callers.a]\nkey = \"same\"\n[callers.b]\nkey = \"same\"",
            "more.toml:3:10: the callers `a` (more.toml:1:10) and `b` have the same key; each caller needs a key of its own",
        ),
        (
            "x,key-of-web",
            "",
            "extractd.toml:2:10: the callers `key-2` (EXTRACTD_API_KEYS) and `web` have the same key; each caller needs a key of its own",
        ),
        (
            "x",
            "[callers.key-1]\nkey = \"y\"",
            "more.toml:1:10: the caller `key-1` is already configured (EXTRACTD_API_KEYS); each caller needs a name of its own",
        ),
        (
            "x,y,x",
            "",
            "EXTRACTD_API_KEYS: `server.api_keys` holds the same key twice",
        ),
    ] {
        let start = Start::file(file).with_file("more.toml", more);
        let start = if keys.is_empty() {
            start
        } else {
            start.with_env(&[("EXTRACTD_API_KEYS", keys)])
        };
        assert_eq!(start.error(), expected, "{keys} {more}");
    }
}

#[test]
fn a_public_address_requires_a_caller_from_any_source() {
    let open = "listen = \"0.0.0.0:8080\"\n";
    let with = |rest: &str| {
        Start::file(&format!("{open}{rest}")).with_file("none.toml", "# nobody yet\n[callers]\n")
    };
    let with = |rest: &str| {
        with(rest)
            .with_file("one.toml", "[callers.a]\nkey = \"k\"")
            .load()
    };
    assert!(with("[callers.a]\nkey = \"k\"").is_ok());
    assert!(with("callers_file = \"one.toml\"").is_ok());
    assert!(with("[server]\napi_keys = [\"k\"]").is_ok());
    for nobody in [
        "callers_file = \"none.toml\"",
        "[server]\napi_keys = []",
        "",
    ] {
        let error = with(nobody).expect_err(nobody).to_string();
        assert!(error.contains("there are no callers"), "{nobody}: {error}");
    }
}

#[test]
fn a_budget_without_prices_is_a_warning() {
    let caller = "[callers.web]\nkey = \"k\"\nbudget_usd_per_day = 1\n";
    let openai = "[providers.openai]\n";
    let price = "input_usd_per_million_tokens = 1\noutput_usd_per_million_tokens = 2\n";
    let warnings = |text: &str| Start::file(text).load().expect("valid").warnings;
    let fast = "[models.fast]\nprovider = \"openai\"\n";
    let text = format!(
        "model = \"fast\"\n{caller}{openai}{fast}fallback = [\"slow\", \"openai/gpt\", \"openai/x\", \"local/m\"]\n[models.slow]\nprovider = \"openai\"\n{price}[models.small]\nprovider = \"local\""
    );
    assert_eq!(
        warnings(&text),
        [
            "`budget_usd_per_day` (callers: web) counts only models that have a price, and these, which requests without `model` use, have none: fast, openai/gpt, \
          openai/x; set `input_usd_per_million_tokens` and `output_usd_per_million_tokens` in a [models.NAME] for each"
        ]
    );
    assert_eq!(
        warnings(&format!("model = \"fast\"\n{caller}{openai}{fast}{price}")),
        [""; 0],
        "each has a price"
    );
    assert_eq!(
        warnings(&format!(
            "model = \"openai/fast\"\n{caller}{openai}{fast}{price}[models.unused]\nprovider = \"openai\"\n"
        )),
        [""; 0],
        "the price holds under every name, and the other model is not used"
    );
    assert_eq!(
        warnings(&format!("model = \"fast\"\n{openai}{fast}")),
        [""; 0],
        "nobody has a budget"
    );
    assert_eq!(
        warnings(caller),
        [""; 0],
        "the built-in model costs nothing"
    );
    let of_file = Start::file(&format!(
        "model = \"fast\"\ncallers_file = \"more.toml\"\n{openai}{fast}"
    ))
    .with_file("more.toml", caller);
    assert_eq!(
        of_file.load().expect("valid").warnings.len(),
        1,
        "a caller of the file counts too"
    );
}

#[test]
fn debug_shows_no_digest() {
    let shown = format!(
        "{:?}",
        parse_file("[callers.a]\nkey = \"k\"").expect("valid")
    );
    assert!(
        shown.contains("Caller { name: \"a\"") && !shown.contains(&sha256("k")[0].to_string()),
        "{shown}"
    );
}

#[test]
fn a_caller_has_a_role_and_a_list_of_models() {
    let read = |keys: &str| {
        let text = format!("[callers.a]\nkey = \"k\"\n{keys}\n");
        let callers = read_callers(Path::new("callers.toml"), &text, [], |_| unreachable!());
        callers.map(|callers| callers[0].access.clone())
    };
    assert_eq!(read("").unwrap(), CallerAccess::default());
    assert_eq!(read("role = \"operator\"").unwrap().role, Role::Operator);
    let models = read("models = [\"cheap\", \"openai/*\"]").unwrap().models;
    assert_eq!(models.unwrap(), ["cheap", "openai/*"]);
    for (keys, why) in [
        ("role = \"admin\"", "must be one of: caller, operator"),
        ("models = []", "must name at least one model"),
        ("models = [\"\"]", "must be names of models"),
        ("models = \"cheap\"", "must be an array of strings"),
    ] {
        let error = read(keys).unwrap_err().to_string();
        assert!(error.contains(why), "{keys}: {error}");
    }
}

#[test]
fn an_empty_callers_file_is_warned_of() {
    let warnings = |more: &str| {
        let text = format!("callers_file = \"callers.toml\"\n{more}");
        let start = Start::file(&text).with_file("callers.toml", "# none yet\n");
        start.load().unwrap().warnings
    };
    let warned = warnings("");
    assert!(
        warned
            .iter()
            .any(|warning| warning.contains("callers.toml has no callers")),
        "{warned:?}"
    );
    assert!(warnings("[callers.a]\nkey = \"k\"\n").is_empty());
}

#[test]
fn a_short_key_is_marked() {
    let text = "[callers.a]\nkey = \"0123456789abcde\"\n[callers.b]\nkey = \"0123456789abcdef\"\n";
    let callers = Start::file(text).config().callers;
    assert_eq!(
        [0, 1].map(|index| callers[index].has_short_key),
        [true, false]
    );
}
