//! Names of models in the configuration: of the default model and of fallbacks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    error::Error,
    provider_hint::check_provider,
    providers::{LOCAL, Provider},
    setting::Table,
};
use crate::types::did_you_mean;

/// Name of a configured model: a `[models.NAME]`, or a model of a configured provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelName {
    /// Name of an entry of [`super::Config::models`].
    Named(String),
    /// `provider/model`. Such a model has neither a fallback nor a price; only an entry of `models`
    /// has.
    Direct {
        /// Name of an entry of [`super::Config::providers`], or [`LOCAL`].
        provider: String,
        /// The provider's name for the model; it may contain slashes.
        model: String,
    },
}

impl fmt::Display for ModelName {
    /// Formats the name as in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Direct { provider, model } => write!(f, "{provider}/{model}"),
        }
    }
}

/// Providers and models that a model's name can refer to.
pub(super) struct KnownModels<'a> {
    pub(super) providers: &'a BTreeMap<String, Provider>,
    pub(super) models: &'a BTreeSet<String>,
}

impl KnownModels<'_> {
    /// Resolves a model's name.
    ///
    /// # Errors
    /// The end of the sentence "`key` …" if there is no such model.
    pub(super) fn resolve(&self, text: &str) -> Result<ModelName, String> {
        let Some((provider, model)) = text.split_once('/') else {
            return self.named(text);
        };
        check_provider(provider, self.providers)?;
        match upstream_name(model) {
            Some(model) => Ok(ModelName::Direct {
                provider: provider.to_owned(),
                model,
            }),
            None => Err(format!(
                "names no model after `{provider}/`, or one with white space in its name"
            )),
        }
    }

    /// Resolves a name without a slash.
    fn named(&self, text: &str) -> Result<ModelName, String> {
        if self.models.contains(text) {
            return Ok(ModelName::Named(text.to_owned()));
        }
        let names: Vec<_> = self.models.iter().map(String::as_str).collect();
        let hint = did_you_mean(text, names.iter().copied());
        let names = if names.is_empty() {
            "there are none".to_owned()
        } else {
            names.join(", ")
        };
        Err(format!(
            "is `{text}`;{hint} it must be `provider/model`, or the name of a [models.NAME]: {names}"
        ))
    }
}

/// Rejects a configuration with providers but without a default model, so that the built-in model
/// is not used by accident.
pub(super) fn check_unset(providers: &BTreeMap<String, Provider>) -> Result<(), Error> {
    let Some((name, provider)) = providers.first_key_value() else {
        return Ok(());
    };
    let message = format!(
        "provider `{name}` is configured, but no default model: set `model` (EXTRACTD_MODEL, --model) to \
         `{name}/MODEL`, with the name that the provider gives the model"
    );
    Err(Error::new(&provider.origin, message))
}

/// Returns the name of the default model's provider before anything is checked: [`LOCAL`] if
/// `model` is not set, empty if the provider is unknown.
pub(super) fn provider_in(root: &Table) -> &str {
    let Some(model) = root.get("model").and_then(|setting| setting.text()) else {
        return LOCAL;
    };
    let entry = || root.table("models")?.table(model)?.get("provider")?.text();
    model
        .split_once('/')
        .map(|(provider, _)| provider)
        .or_else(entry)
        .unwrap_or_default()
}

/// Parses a provider's name for a model: any text without white space and control characters.
/// `None`: it is not valid.
pub(super) fn upstream_name(text: &str) -> Option<String> {
    let is_blank = |letter: char| letter.is_whitespace() || letter.is_control();
    (!text.is_empty() && !text.contains(is_blank)).then(|| text.to_owned())
}
