use throttle::{MemoryUse, NoMemory};

use super::*;
use crate::types::Code;

#[test]
fn what_may_take_long_is_long_work() {
    assert_eq!(
        work_bytes(r#"{"properties": {"a": {"type": "string"}}}"#),
        None
    );
    let referring = |length: usize| {
        let title = "a".repeat(length);
        format!(r##"{{"items": {{"$ref": "#"}}, "title": "{title}"}}"##)
    };
    assert_eq!(work_bytes(&referring(QUICK_REFERRING_BYTES / 2)), None);
    for text in [
        r#"{"pattern": "a"}"#.to_owned(),
        r#"{"patter\u006e": "(a|b|ab){36000}"}"#.to_owned(),
        r#"{"$re\u0066": "\u0023/items"}"#.to_owned(),
        r##"{"items": {"$dynamicRef": "#"}}"##.to_owned(),
        r##"{"items": {"$recursiveRef": "#"}}"##.to_owned(),
        referring(QUICK_REFERRING_BYTES),
        format!(r#"{{"title": "{}"}}"#, "a".repeat(QUICK_TEXT_BYTES)),
    ] {
        assert!(work_bytes(&text) > Some(text.len()), "{text}");
    }
    assert_eq!(work_bytes(&" ".repeat(compiled::MAX_TEXT_BYTES + 1)), None);
}

#[tokio::test]
async fn memory_is_reserved_before_a_schema_is_compiled() {
    let cache = Cache::new(&MemoryLedger::new(1 << 30, 1 << 30));
    let names: Vec<_> = (0..1000).map(|n| format!("\"{n}\"")).collect();
    let text = format!(r#"{{"required": [{}]}}"#, names.join(","));
    let needed = Schema::compiling_bytes(&text);
    let kept = Schema::compile(&text).unwrap().memory_bytes();
    assert!(kept < needed);
    // There is room for what is kept, but not for what compiling takes.
    for (room, is_enough) in [(kept + 1, false), (2 * needed, true)] {
        let ledger = MemoryLedger::new(room, room);
        let memory = ledger.empty(CallerId(1), MemoryUse::Schemas);
        let compiled = cache.get(&text, memory).await;
        assert_eq!(compiled.is_ok(), is_enough);
        let held = ledger.snapshot().held;
        match compiled {
            Ok(_) => assert_eq!(held, kept),
            Err(error) => assert_eq!((error.code, held), (Code::PayloadTooLarge, 0)),
        }
    }
    // A pattern's program is reserved before it is made.
    let ledger = MemoryLedger::new(1 << 20, 1 << 20);
    for pattern in ["^a{2}$", "(?:a|b|ab){20000}"] {
        let text = format!(r#"{{"pattern": "{pattern}"}}"#);
        let memory = ledger.empty(CallerId(1), MemoryUse::Schemas);
        let refused = cache.get(&text, memory).await.err();
        let code = refused.map(|error| error.code);
        let expected = Some(Code::PayloadTooLarge).filter(|_| pattern.contains("20000"));
        assert_eq!(code, expected, "{pattern}");
    }
}

/// Each target is read with all that is below it.
#[tokio::test]
async fn what_overlapping_references_repeat_is_reserved_before_it_is_read() {
    let values: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
    let leaf = format!(r#"{{"enum": [{}]}}"#, values.join(","));
    let nested = (0..40).fold(leaf, |inner, level| {
        format!(r#"{{"$anchor": "a{level}", "items": {inner}}}"#)
    });
    let all: Vec<_> = (0..40)
        .map(|level| format!(r##"{{"$ref": "#a{level}"}}"##))
        .collect();
    let text = format!(
        r#"{{"prefixItems": [{}], "items": {nested}}}"#,
        all.join(",")
    );
    assert!(text.len() < QUICK_TEXT_BYTES && work_bytes(&text).is_some());
    let needed = Schema::compiling_bytes(&text);
    for (room, is_enough) in [(2 * needed, false), (1 << 30, true)] {
        let ledger = MemoryLedger::new(room, room);
        let cache = Cache::new(&ledger);
        let memory = ledger.empty(CallerId(1), MemoryUse::Schemas);
        let compiled = cache.get(&text, memory).await;
        let held = ledger.snapshot().held;
        match compiled {
            Ok(_) => assert!(is_enough && held > 4 * needed, "{held} of {needed}"),
            Err(error) => {
                assert_eq!((error.code, held), (Code::PayloadTooLarge, 0));
                assert!(!is_enough);
            }
        }
    }
}

#[tokio::test]
async fn what_is_made_of_a_schema_counts() {
    let ledger = MemoryLedger::new(1 << 30, 1 << 30);
    let cache = Cache::new(&ledger);
    let get = || cache.get("{}", ledger.empty(CallerId(1), MemoryUse::Schemas));
    let first = get().await.unwrap();
    first.add_bytes(MAX_BYTES / 4);
    assert!(Arc::ptr_eq(&first, &get().await.unwrap()));
    // It is returned once more, and not kept.
    first.add_bytes(MAX_BYTES / 4);
    assert!(Arc::ptr_eq(&first, &get().await.unwrap()));
    assert!(!Arc::ptr_eq(&first, &get().await.unwrap()));
}

/// A caller whose requests have ended leaves its schemas behind.
#[tokio::test(start_paused = true)]
async fn unused_schemas_make_room_for_another_caller() {
    const BUDGET: usize = 64 << 20;
    let ledger = MemoryLedger::new(BUDGET, BUDGET);
    ledger.set_has_several_callers(true);
    let cache = Cache::new(&ledger);
    let text = |n: usize| {
        let names: Vec<_> = (0..500).map(|name| format!("\"{n}-{name}\"")).collect();
        format!(r#"{{"required": [{}]}}"#, names.join(","))
    };
    let get = async |n| {
        let memory = ledger.empty(CallerId(1), MemoryUse::Schemas);
        cache.get(&text(n), memory).await.unwrap()
    };
    let in_use = get(0).await;
    for n in 1..100 {
        get(n).await;
    }
    let held = ledger.snapshot().held;
    let cached = held - in_use.memory_bytes();
    assert!((BUDGET / 32..=BUDGET / 8).contains(&cached), "{cached}");
    // As much as there is for a caller while the other one uses a schema.
    let share = BUDGET / 2 - in_use.memory_bytes();
    let reserve = || ledger.reserve(CallerId(2), MemoryUse::RequestBodies, share);
    assert_eq!(reserve().unwrap_err(), NoMemory::ShareUsedUp);
    tokio::time::advance(IDLE_TIME).await;
    let recent = get(98).await.memory_bytes();
    let share = share - 2 * recent;
    let reserved = ledger.reserve(CallerId(2), MemoryUse::RequestBodies, share);
    drop(reserved.unwrap());
    assert_eq!(ledger.snapshot().held, in_use.memory_bytes() + recent);
}

#[tokio::test]
async fn a_cached_schema_is_found_by_the_hash_of_its_registered_text() {
    let ledger = MemoryLedger::new(1 << 30, 1 << 30);
    let cache = Cache::new(&ledger);
    let memory = || ledger.empty(CallerId(1), MemoryUse::Schemas);
    let text = r#"{"type":"string"}"#;
    let hash = hash_of(text);
    let replaced = cache.get_registered(hash_of("{}"), text, memory()).await;
    assert!(cache.find_registered(&hash_of("{}")).is_none());
    assert!(cache.find_registered(&hash).is_none());
    let named = cache.get_registered(hash.clone(), text, memory()).await;
    let found = cache.find_registered(&hash).unwrap();
    assert!(Arc::ptr_eq(&found, &named.unwrap()));
    assert!(Arc::ptr_eq(&found, &replaced.unwrap()));
    // What is found counts as used: it outlives as many others as there is room for.
    for number in 0..2 * MAX_SCHEMAS {
        let other = format!(r#"{{"minimum":{number}}}"#);
        cache.get(&other, memory()).await.unwrap();
        assert!(cache.find_registered(&hash).is_some(), "{number}");
    }
    for number in 0..2 * MAX_SCHEMAS {
        let other = format!(r#"{{"maximum":{number}}}"#);
        cache.get(&other, memory()).await.unwrap();
    }
    assert!(cache.find_registered(&hash).is_none());
}

#[tokio::test]
async fn many_schemas_of_one_caller_leave_those_of_others() {
    let ledger = MemoryLedger::new(1 << 30, 1 << 30);
    let cache = Cache::new(&ledger);
    let get = async |caller: u64, number: usize| {
        let text = format!(r#"{{"title":"{caller}","minimum":{number}}}"#);
        let memory = ledger.empty(CallerId(caller), MemoryUse::Schemas);
        cache.get(&text, memory).await.unwrap()
    };
    // Without others, a caller has all places.
    let first = get(1, 0).await;
    for number in 1..MAX_SCHEMAS {
        get(1, number).await;
    }
    assert!(Arc::ptr_eq(&first, &get(1, 0).await));
    let of_others = [get(2, 0).await, get(3, 0).await];
    for number in 0..3 * MAX_SCHEMAS {
        get(1, number).await;
    }
    for (caller, schema) in (2..).zip(&of_others) {
        assert!(Arc::ptr_eq(schema, &get(caller, 0).await), "{caller}");
    }
    assert_eq!(cache.lock().by_text.len(), MAX_SCHEMAS);
    // The same for their memory.
    get(1, 1).await.add_bytes(MAX_BYTES / 2 - (1 << 20));
    get(1, 2).await.add_bytes(MAX_BYTES / 2 - (1 << 20));
    get(1, 3).await.add_bytes(MAX_BYTES / 4);
    for (caller, schema) in (2..).zip(&of_others) {
        assert!(Arc::ptr_eq(schema, &get(caller, 0).await), "{caller}");
    }
    let of_first = cache.lock().take(|entry| entry.caller == CallerId(1));
    let bytes: usize = of_first.iter().map(|schema| schema.memory_bytes()).sum();
    assert!(bytes <= MAX_BYTES, "{bytes}");
}

#[tokio::test]
async fn a_text_that_is_too_long_to_be_kept_is_compiled_each_time() {
    let ledger = MemoryLedger::new(1 << 30, 1 << 30);
    let cache = Cache::new(&ledger);
    for (length, is_kept) in [(100, true), (MAX_TEXT_BYTES, false)] {
        let text = format!(r#"{{"title": "{}"}}"#, "a".repeat(length));
        let get = || cache.get(&text, ledger.empty(CallerId(1), MemoryUse::Schemas));
        let (one, other) = (get().await.unwrap(), get().await.unwrap());
        assert_eq!(Arc::ptr_eq(&one, &other), is_kept);
    }
}
