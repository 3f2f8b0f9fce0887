//! Which model a configuration names: the default one, or one to fall back to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    error::{Error, did_you_mean},
    provider_hint::check_provider,
    providers::{LOCAL, Provider},
    setting::Table,
};

/// A model that is there: its provider is configured, or it is an entry of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelName {
    /// An entry of [`super::Config::models`].
    Named(String),
    /// `provider/model`. Such a model has neither a fallback nor a price: those are an entry's.
    Direct {
        /// An entry of [`super::Config::providers`], or [`LOCAL`].
        provider: String,
        /// The provider's own name for the model; it may hold slashes.
        model: String,
    },
}

impl fmt::Display for ModelName {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Direct { provider, model } => write!(f, "{provider}/{model}"),
        }
    }
}

/// What a model's name may name.
pub(super) struct Known<'a> {
    pub(super) providers: &'a BTreeMap<String, Provider>,
    pub(super) models: &'a BTreeSet<String>,
}

impl Known<'_> {
    /// Finds whom `text` names; else the end of the sentence "`key` …".
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

/// Refuses to let the built-in model be the default by silence: a provider that is there wants one said.
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

/// The name of the default model's provider, before anything is checked. Unset: the built-in one; empty: cannot be told.
pub(super) fn provider_in(root: &Table) -> &str {
    let Some(model) = root.at("model").and_then(|setting| setting.text()) else {
        return LOCAL;
    };
    let entry = || root.table("models")?.table(model)?.at("provider")?.text();
    model
        .split_once('/')
        .map(|(provider, _)| provider)
        .or_else(entry)
        .unwrap_or_default()
}

/// A provider's name for a model: whatever it likes, slashes too, but nothing blank.
pub(super) fn upstream_name(text: &str) -> Option<String> {
    let blank = |letter: char| letter.is_whitespace() || letter.is_control();
    (!text.is_empty() && !text.contains(blank)).then(|| text.to_owned())
}
