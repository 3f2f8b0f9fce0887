use serde_json::json;

use super::super::adaptation::Trial;
use super::super::test_fixture::with_request;
use super::*;

const MODES: [Mode; 3] = [Mode::JsonSchema, Mode::Tools, Mode::Text];

fn adaptation(feature: Unsupported, mode: Mode, is_for_model: bool) -> Adaptation {
    Adaptation {
        feature,
        mode,
        is_for_model,
    }
}

#[test]
fn adaptations_hold_for_their_schema_or_model_for_an_hour() {
    let cache = CapabilityCache::default();
    let now = Instant::now();
    let none = TrialState::default();
    let mode = |schema: &serde_json::Value, at| {
        with_request(schema, |request| {
            cache.request_shape(request, &MODES, &none, at).mode
        })
    };
    let (one, other) = (json!({"type": "object"}), json!({"type": "array"}));
    let for_schema = adaptation(Unsupported::Schema, Mode::JsonSchema, false);
    let recorded = with_request(&one, |request| cache.record(request, &[for_schema], now));
    assert_eq!(recorded, [for_schema]);
    assert_eq!(
        (mode(&one, now), mode(&other, now)),
        (Mode::Tools, Mode::JsonSchema)
    );
    let again = with_request(&one, |request| cache.record(request, &[for_schema], now));
    assert_eq!(again, [], "known already");
    let for_model = adaptation(Unsupported::Mode, Mode::JsonSchema, true);
    with_request(&one, |request| cache.record(request, &[for_model], now));
    assert_eq!(
        (mode(&one, now), mode(&other, now)),
        (Mode::Tools, Mode::Tools)
    );
    let active = cache.active("m", now);
    assert_eq!(
        active
            .iter()
            .map(|active| active.schemas)
            .collect::<Vec<_>>(),
        [Some(1), None]
    );
    let later = now + LIFETIME;
    assert_eq!(
        (mode(&one, later), mode(&other, later)),
        (Mode::JsonSchema, Mode::JsonSchema)
    );
    assert!(cache.active("m", later).is_empty() && cache.active("x", now).is_empty());
}

#[test]
fn a_trial_holds_for_its_target_and_an_adaptation_that_did_not_help_is_dropped() {
    let cache = CapabilityCache::default();
    let trial = Trial::default();
    let temperature = adaptation(Unsupported::Temperature, Mode::Auto, true);
    let shape = |target| {
        with_request(&json!({}), |request| {
            trial.with(target, |state| {
                cache.request_shape(request, &MODES, state, Instant::now())
            })
        })
    };
    trial.with(1, |state| {
        state.hear("no temperature");
        assert!(state.add(temperature) && !state.add(temperature));
    });
    assert!(shape(1).unsupported.has(Unsupported::Temperature));
    trial.with(1, |state| state.hear("no temperature"));
    assert!(
        !shape(1).unsupported.has(Unsupported::Temperature),
        "the same words again"
    );
    trial.with(1, |state| assert!(!state.add(temperature), "tried already"));
    trial.with(1, |state| {
        assert!(state.add(adaptation(Unsupported::Mode, Mode::JsonSchema, true)));
    });
    assert_eq!(
        (shape(1).mode, shape(2).mode),
        (Mode::Tools, Mode::JsonSchema)
    );
}

#[test]
fn what_a_callers_value_or_fields_provoke_holds_for_the_same_ones_only() {
    let cache = CapabilityCache::default();
    let now = Instant::now();
    let none = TrialState::default();
    let fields = json!({"top_p": 3});
    let odd = |request: &Request<'_>| {
        let adaptations = [
            adaptation(Unsupported::Temperature, Mode::Auto, false),
            adaptation(Unsupported::OutputLimit, Mode::Auto, false),
        ];
        let hot = Request {
            temperature: 2.0,
            max_output_tokens: Some(1 << 30),
            ..*request
        };
        cache.record(&hot, &adaptations, now);
        let with_fields = Request {
            extra_body: fields.as_object(),
            has_callers_fields: true,
            ..*request
        };
        let mode = adaptation(Unsupported::Mode, Mode::JsonSchema, false);
        cache.record(&with_fields, &[mode], now);
        [&hot, &with_fields, request].map(|request| {
            let shape = cache.request_shape(request, &MODES, &none, now);
            let has = |feature| shape.unsupported.has(feature);
            let omits = has(Unsupported::Temperature) && has(Unsupported::OutputLimit);
            (omits, shape.mode)
        })
    };
    assert_eq!(
        with_request(&json!({"type": "object"}), odd),
        [
            (true, Mode::JsonSchema),
            (false, Mode::Tools),
            (false, Mode::JsonSchema)
        ]
    );
}

#[test]
fn models_that_callers_have_made_up_replace_no_configured_and_no_recent_one() {
    let cache = CapabilityCache::default();
    let start = Instant::now();
    let none = TrialState::default();
    let adapted = adaptation(Unsupported::Temperature, Mode::Auto, true);
    with_request(&json!({}), |request| {
        cache.record(request, &[adapted], start);
        let made_up = |name: &str, at| {
            let request = Request {
                model: name,
                is_configured_model: false,
                ..*request
            };
            cache.record(&request, &[adapted], at);
            cache.request_shape(&request, &MODES, &none, at)
        };
        made_up("forgotten", start);
        for number in 1..2_000 {
            let now = start + Duration::from_millis(number);
            made_up(&number.to_string(), now);
            made_up("used", now);
        }
        let end = start + Duration::from_secs(60);
        for (name, is_known) in [
            ("m", true),
            ("used", true),
            ("1999", true),
            ("forgotten", false),
        ] {
            assert_eq!(!cache.active(name, end).is_empty(), is_known, "{name}");
        }
        assert_eq!(cache.0.lock().unwrap().len(), MAX_MODELS);
    });
}

#[test]
fn adaptations_of_single_schemas_replace_none_of_the_model() {
    let cache = CapabilityCache::default();
    let now = Instant::now();
    let for_model = adaptation(Unsupported::Temperature, Mode::Auto, true);
    with_request(&json!({}), |request| {
        cache.record(request, &[for_model], now)
    });
    let for_schema = adaptation(Unsupported::Schema, Mode::JsonSchema, false);
    for number in 0..2 * MAX_ADAPTATIONS {
        let schema = json!({"minimum": number});
        with_request(&schema, |request| cache.record(request, &[for_schema], now));
    }
    let active = cache.active("m", now).into_iter();
    let schemas: Vec<_> = active.map(|active| active.schemas).collect();
    assert_eq!(schemas, [None, Some(MAX_ADAPTATIONS - 1)]);
}
