//! Warnings about a valid configuration: budgets of callers that models without a price do not
//! count towards, and a server without callers that was to have some.

use std::collections::BTreeMap;
use std::path::Path;

use super::callers::Caller;
use super::model_name::ModelName;
use super::models::Model;
use super::providers::LOCAL;

/// Returns a warning that names the callers with a budget and the models without a price among the default model and its
/// fallbacks. `None`: there are not both.
pub(super) fn unpriced_budgets<'c>(
    callers: impl Iterator<Item = &'c Caller>,
    default: Option<&ModelName>,
    models: &BTreeMap<String, Model>,
) -> Option<String> {
    let limited: Vec<_> = callers
        .filter(|caller| caller.quota.budget_per_day.is_some())
        .map(|caller| &*caller.name)
        .collect();
    let unpriced = unpriced(default, models);
    (!limited.is_empty() && !unpriced.is_empty()).then(|| {
        format!(
            "`budget_usd_per_day` (callers: {}) counts only models that have a price, and these, which requests without `model` use, have none: {}; set \
             `input_usd_per_million_tokens` and `output_usd_per_million_tokens` in a [models.NAME] for each",
            limited.join(", "),
            unpriced.join(", ")
        )
    })
}

/// Returns a warning about a file of callers that has none, so that everyone is served. `None`: there are callers, or no such file.
pub(super) fn open_server<'c>(
    callers_file: Option<&Path>,
    mut callers: impl Iterator<Item = &'c Caller>,
) -> Option<String> {
    let path = callers_file?;
    callers.next().is_none().then(|| {
        format!(
            "`callers_file` {} has no callers, and there are no others, so that everyone who can connect is served without a key; add a [callers.NAME] to it",
            path.display()
        )
    })
}

/// Returns the models without a price among the default model and its fallbacks, each once.
fn unpriced(default: Option<&ModelName>, models: &BTreeMap<String, Model>) -> Vec<String> {
    let fallback = match default {
        Some(ModelName::Named(name)) => models.get(name).map(|model| &*model.fallback),
        Some(ModelName::Direct { .. }) | None => None,
    };
    let mut names = Vec::new();
    for model in default
        .into_iter()
        .chain(fallback.unwrap_or_default())
        .filter(|model| !has_price(models, model))
    {
        let name = model.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Returns true if the price of a model is known: a price holds under every name of a model. The built-in model costs nothing.
fn has_price(models: &BTreeMap<String, Model>, model: &ModelName) -> bool {
    let (provider, upstream) = match model {
        ModelName::Direct { provider, model } => (provider, model),
        ModelName::Named(name) => match models.get(name) {
            Some(named) => (&named.provider, &named.model),
            None => return false,
        },
    };
    let is_priced = |named: &Model| {
        named.provider == *provider && named.model == *upstream && named.price.is_some()
    };
    provider == LOCAL || models.values().any(is_priced)
}
