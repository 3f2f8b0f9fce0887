//! Schemas lowered to every provider's subset, and values there and back.

mod instance;
mod rules;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::schema::compile;
use super::{depth, plain};
use extractd::schema::Schema;
use extractd::types::Dialect;
use schema_dialect::dialects::{
    ANTHROPIC_STRICT, ANTHROPIC_TOOLS, AZURE_STRICT, COMPATIBLE, GEMINI_JSON_SCHEMA, GEMINI_SCHEMA,
    LLAMA_CPP, OPENAI_LOOSE, OPENAI_STRICT,
};

/// The tables, each with the rules by which its provider is known to judge.
const TABLES: [(&Dialect, rules::Rules); 9] = [
    (&OPENAI_STRICT, rules::openai),
    (&OPENAI_LOOSE, rules::root_is_object),
    (&AZURE_STRICT, rules::azure),
    (&ANTHROPIC_STRICT, rules::anthropic),
    (&ANTHROPIC_TOOLS, rules::anthropic_tools),
    (&GEMINI_JSON_SCHEMA, rules::gemini_json_schema),
    (&GEMINI_SCHEMA, rules::gemini_schema),
    (&LLAMA_CPP, rules::llama_cpp),
    (&COMPATIBLE, rules::compatible),
];

/// Lowers what is before the first NUL, and takes there and back what is behind, and some more. Of a schema as hostile as it likes
/// no more can be promised than that its forms meet the rules; what is told of a value's way back, `tests` sees to.
pub fn lowered(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let Some(schema) = compile(parts.next().unwrap_or_default()) else {
        return;
    };
    let given = parts.next().and_then(plain);
    let instances: Vec<Value> = given
        .into_iter()
        .chain(instance::some(&schema, 2))
        .collect();
    for (subset, rules) in TABLES {
        if let Err(wrong) = check(&schema, subset, rules, &[]) {
            panic!("{}: {wrong}\n{}", subset.name, schema.raw().get());
        }
        let Some(lowered) = schema.lowered(subset) else {
            continue;
        };
        for instance in &instances {
            let back = schema.raised(&lowered, lowered.asked.lowered(instance));
            assert!(
                depth(&back) <= depth(instance) + 130,
                "{instance} comes back as {back}"
            );
            assert!(
                depth(&schema.raised(&lowered, instance.clone())) <= depth(instance) + 130,
                "{instance}"
            );
        }
    }
}

/// Checks the lowered form of a schema. False: it cannot be lowered.
fn check(
    schema: &Schema,
    subset: &'static Dialect,
    rules: rules::Rules,
    instances: &[Value],
) -> Result<bool, String> {
    let Some(lowered) = schema.lowered(subset) else {
        return Ok(false);
    };
    let asked = &lowered.asked;
    let text = asked.raw.get();
    let json: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let broken = rules(&json);
    if !broken.is_empty() {
        return Err(format!("{}\n{text}", broken.join("\n")));
    }
    if instances.is_empty() {
        return Ok(true);
    }
    let validator = Schema::compile(&rules::standard(json).to_string());
    for instance in instances {
        let there = asked.lowered(instance);
        if let Ok(validator) = &validator
            && let Some(fault) = validator.faults(&there).first()
        {
            return Err(format!(
                "not valid: {fault:?}: {instance} is {there}\n{text}"
            ));
        }
        let back = schema.raised(&lowered, there.clone());
        if let Some(fault) = schema.faults(&back).first() {
            return Err(format!(
                "comes back wrong: {fault:?}: {instance} is {there}, and comes back as {back}\n{text}"
            ));
        }
        // In the caller's own form it stays valid, though what looks like what was asked for is taken for that.
        let own = schema.raised(&lowered, instance.clone());
        if !schema.is_valid(&own) {
            return Err(format!("{instance} becomes {own}\n{text}"));
        }
    }
    match validator {
        Ok(_) => Ok(true),
        // What the service itself would not take may still be fine; too large, say.
        Err(error)
            if error.detail.contains("more than")
                || error.detail.contains("regular expression") =>
        {
            Ok(true)
        }
        Err(error) => Err(format!("no schema: {error}\n{text}")),
    }
}
