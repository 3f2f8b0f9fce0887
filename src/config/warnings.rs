//! Warnings about a valid configuration: budgets of callers that models without a price do not
//! count towards.

use super::{Config, LOCAL, ModelName};

/// Returns a warning that names the callers with a budget and the models without a price. `None`:
/// there are not both. The built-in model costs nothing.
pub(super) fn warning(config: &Config) -> Option<String> {
    let callers = config.callers.iter().chain(&config.file_callers);
    let limited: Vec<_> = callers
        .filter(|caller| caller.quota.budget_per_day.is_some())
        .map(|caller| &*caller.name)
        .collect();
    let unpriced = unpriced(config);
    (!limited.is_empty() && !unpriced.is_empty()).then(|| {
        format!(
            "`budget_usd_per_day` (callers: {}) counts only models that have a price, and these have none: {}; set \
             `input_usd_per_million_tokens` and `output_usd_per_million_tokens` in a [models.NAME] for each",
            limited.join(", "),
            unpriced.join(", ")
        )
    })
}

/// Returns the configured models without a price, each once.
fn unpriced(config: &Config) -> Vec<String> {
    let entries = config
        .models
        .iter()
        .filter(|(_, model)| model.price.is_none() && model.provider != LOCAL);
    let mut names: Vec<_> = entries.map(|(name, _)| name.clone()).collect();
    let fallbacks = config.models.values().flat_map(|model| &model.fallback);
    for model in config.model.iter().chain(fallbacks) {
        let name = model.to_string();
        let is_direct = matches!(model, ModelName::Direct { provider, .. } if provider != LOCAL);
        if is_direct && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
