//! Who answers a request that names no model, with which provider.

use std::{collections::BTreeMap, fmt};

use super::{
    error::{Error, did_you_mean},
    missing::check_provider,
    models::{Model, upstream_name},
    providers::{LOCAL, Provider},
    setting::{Origin, Table},
};

/// The default model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultModel {
    /// No model is set and no provider configured: the built-in model, whatever its name is.
    BuiltIn,
    /// An entry of [`super::Config::models`].
    Named(String),
    /// `provider/model`.
    Direct {
        /// An entry of [`super::Config::providers`], or [`LOCAL`].
        provider: String,
        /// The provider's own name for the model; it may hold slashes.
        model: String,
    },
}

impl DefaultModel {
    /// The default model when none is set: a provider that is there wants one said.
    pub(super) fn built_in(providers: &BTreeMap<String, Provider>) -> Result<Self, Error> {
        let Some((name, provider)) = providers.first_key_value() else {
            return Ok(Self::BuiltIn);
        };
        let message = format!(
            "provider `{name}` is configured, but no default model: set `model` (EXTRACTD_MODEL, --model) to \
             `{name}/MODEL`, with the name that the provider gives the model"
        );
        Err(Error::new(&provider.origin, message))
    }

    /// Finds whom `model` names.
    pub(super) fn resolve(
        text: &str,
        origin: &Origin,
        providers: &BTreeMap<String, Provider>,
        models: &BTreeMap<String, Model>,
    ) -> Result<Self, Error> {
        let refuse = |message: String| Err(Error::new(origin, format!("`model` {message}")));
        let Some((provider, model)) = text.split_once('/') else {
            if models.contains_key(text) {
                return Ok(Self::Named(text.to_owned()));
            }
            let hint = did_you_mean(text, models.keys().map(String::as_str));
            let names: Vec<_> = models.keys().map(String::as_str).collect();
            let names = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
            let allowed = format!("it must be `provider/model`, or the name of a [models.NAME]: {names}");
            return refuse(format!("is `{text}`;{hint} {allowed}"));
        };
        if let Err(why) = check_provider(provider, providers) {
            return refuse(why);
        }
        match upstream_name(model) {
            Some(model) => Ok(Self::Direct { provider: provider.to_owned(), model }),
            None => refuse(format!("names no model after `{provider}/`, or one with white space in its name")),
        }
    }
}

impl fmt::Display for DefaultModel {
    /// As it is written in the configuration; the built-in model as `local`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str(LOCAL),
            Self::Named(name) => f.write_str(name),
            Self::Direct { provider, model } => write!(f, "{provider}/{model}"),
        }
    }
}

/// The name of the default model's provider, before anything is checked. Unset: the built-in one; empty: cannot be told.
pub(super) fn provider_in(root: &Table) -> &str {
    let Some(model) = root.at("model").and_then(|setting| setting.text()) else {
        return LOCAL;
    };
    let entry = || root.table("models")?.table(model)?.at("provider")?.text();
    model.split_once('/').map(|(provider, _)| provider).or_else(entry).unwrap_or_default()
}
