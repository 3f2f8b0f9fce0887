//! `anyOf` and `oneOf`: a part for each alternative, with all that stands beside them.

use serde_json::Value;

use super::description::Description;
use super::lowered_node::{LoweredNode, LoweringError};
use super::merged_schema::{Choices, MergedSchema};
use super::{Ask, Effort, Lowering};
use schema_dialect::is_annotation;

/// Returns true if the alternatives describe a value's form, and not only its required members.
pub fn is_structural(choices: &Choices<'_>) -> bool {
    let says = |keyword: &String| {
        !is_annotation(keyword)
            && !matches!(keyword.as_str(), "required" | "not" | "dependentRequired")
    };
    let looks = |choice: &Value| match choice {
        Value::Object(choice) => choice.keys().any(says),
        other => other == &Value::Bool(false),
    };
    let takes_any = |choice: &Value| {
        choice == &Value::Bool(true)
            || choice
                .as_object()
                .is_some_and(|choice| choice.keys().all(|name| is_annotation(name)))
    };
    choices.of.iter().any(looks) && !choices.of.iter().any(takes_any)
}

/// Returns the schemas that may apply in addition: those under conditions, and alternatives without
/// a discriminator.
pub fn loose<'s>(gathered: &MergedSchema<'s>) -> Vec<&'s Value> {
    let conditions = gathered.all("then").chain(gathered.all("else"));
    let dependent = gathered
        .all("dependentSchemas")
        .chain(gathered.all("dependencies"));
    let dependent = dependent
        .filter_map(Value::as_object)
        .flat_map(serde_json::Map::values);
    let choices = gathered.choices.iter().flat_map(|choices| choices.of);
    conditions
        .chain(dependent)
        .chain(choices)
        .filter(|schema| schema.is_object())
        .collect()
}

impl<'s> Lowering<'s> {
    /// `None`: there are no alternatives that have to be told apart.
    pub fn choice(
        &mut self,
        ask: &Ask<'s>,
        gathered: &MergedSchema<'s>,
    ) -> Result<Option<LoweredNode>, LoweringError> {
        let Some(choices) = gathered
            .choices
            .iter()
            .find(|choices| is_structural(choices))
        else {
            return Ok(None);
        };
        let alone = gathered.has_only_choices()
            && gathered.choices.len() == 1
            && gathered.ignored.is_empty();
        let names_types = gathered.all("type").next().is_some();
        if !alone && self.effort == Effort::Little && gathered.types()?.is_some() && names_types {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for choice in choices.of {
            let ask = if alone {
                Ask::new(vec![choice], ask.level)
            } else {
                let mut chosen = ask.chosen.clone();
                chosen.push(std::ptr::from_ref(choices.array));
                let all = std::iter::once(choice)
                    .chain(ask.all.iter().copied())
                    .collect();
                Ask {
                    all,
                    chosen,
                    level: ask.level,
                    here: true,
                }
            };
            match self.part(&ask) {
                Ok(part) => parts.push(part),
                Err(LoweringError::Never) => {}
                Err(stop) => return Err(stop),
            }
        }
        let part = self.join(parts)?;
        let words = Description::general(gathered);
        Ok(Some(self.described(part, words)))
    }

    /// A part for what one of these asks.
    pub fn either(
        &mut self,
        schemas: &[&'s Value],
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        let mut parts = Vec::new();
        for schema in schemas {
            match self.part(&Ask::new(vec![*schema], level)) {
                Ok(part) => parts.push(part),
                Err(LoweringError::Never) => {}
                Err(stop) => return Err(stop),
            }
        }
        self.join(parts)
    }
}
