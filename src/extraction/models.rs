//! Models that requests can name: the configured routes, their fallbacks, and `provider/model` of any configured provider.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::provider::Provider;
use crate::types::{Error, ExtraBody, FallbackOn, Mode, Price, nearest};
use throttle::{self, Limits, ModelLimits, PoolId};

/// Maximum length of a model's name, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Provider of the built-in model, which is its only one. Its calls cost nothing.
const LOCAL: &str = "local";

/// Configured provider.
#[derive(Debug, Clone)]
pub struct ProviderEntry {
    pub provider: Arc<dyn Provider>,
    /// Limits that all models of the provider share.
    pub pool: PoolId,
    /// Timeout of one call; `None`: only the item's own timeout applies.
    pub call_timeout: Option<Duration>,
}

/// Model of a provider, with what is needed to call it.
#[derive(Debug, Clone)]
pub struct ModelEndpoint {
    /// Name of the provider in the configuration.
    pub provider_name: String,
    pub provider: Arc<dyn Provider>,
    /// Name of the model at the provider.
    pub model: String,
    /// Mode for specs that say `auto`.
    pub mode: Mode,
    /// Fields that are added to each request.
    pub extra_body: ExtraBody,
    /// Limits of the model, shared by all requests.
    pub limits: Arc<throttle::Model>,
    /// Price of its tokens; `None`: not known.
    pub price: Option<Price>,
    /// Timeout of one call; `None`: only the item's own timeout applies.
    pub call_timeout: Option<Duration>,
}

impl ModelEndpoint {
    /// Returns the model's name in results: `provider/model`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.provider_name, self.model)
    }

    /// Returns the price of its tokens, 0 for the built-in model. `None`: not known.
    pub(super) fn known_price(&self) -> Option<Price> {
        let free = (self.provider_name == LOCAL).then(Price::default);
        self.price.or(free)
    }

    /// Returns true if the cost of each call is known. The built-in model costs nothing.
    pub(super) fn has_known_cost(&self) -> bool {
        self.known_price().is_some()
    }
}

/// Model with its fallbacks.
#[derive(Debug, Clone)]
pub struct ModelRoute {
    pub first: ModelEndpoint,
    /// Fallbacks, in order of preference.
    pub fallback: Vec<ModelEndpoint>,
    /// Conditions under which a fallback is called.
    pub fallback_on: FallbackOn,
}

/// All models that requests can name.
#[derive(Debug)]
pub struct Models {
    /// Route of requests that name no model.
    pub default: ModelRoute,
    /// Configured routes by the name that callers use.
    pub named: BTreeMap<String, ModelRoute>,
    /// Configured providers by name.
    pub providers: BTreeMap<String, ProviderEntry>,
}

impl Models {
    /// Returns the route of a configured name or of `provider/model`; the default route for `None`.
    ///
    /// # Errors
    /// `invalid_request` at `/model`, with the known names.
    pub fn find(&self, name: Option<&str>, limits: &Limits) -> Result<ModelRoute, Error> {
        let Some(name) = name else {
            return Ok(self.default.clone());
        };
        if name.len() > MAX_NAME_BYTES {
            let message = format!("a model's name has at most {MAX_NAME_BYTES} bytes");
            return Err(Error::invalid("/model", message));
        }
        if let Some(route) = self.named.get(name) {
            return Ok(route.clone());
        }
        if name == self.default.first.label() {
            return Ok(self.default.clone());
        }
        self.ad_hoc_route(name, limits)
            .ok_or_else(|| self.unknown_model(name))
    }

    /// Returns the name by which [`Models::find`] knows a model that a caller names as its provider does, without the provider's
    /// name. A name that is not configured is one of the default model's provider.
    #[must_use]
    pub fn resolve(&self, name: &str) -> String {
        let default = &self.default.first;
        let is_label = name
            .split_once('/')
            .is_some_and(|(provider, _)| self.providers.contains_key(provider));
        if is_label || name.is_empty() || self.named.contains_key(name) {
            return name.to_owned();
        }
        let label = default.label();
        let is_default = |route: &ModelRoute| name == default.model && route.first.label() == label;
        let named = || self.named.iter();
        let configured = named().find(|(_, route)| is_default(route));
        if configured.is_none() && name == default.model {
            return label;
        }
        let configured =
            configured.or_else(|| named().find(|(_, route)| route.first.model == name));
        match configured {
            Some((configured, _)) => configured.clone(),
            None if default.provider_name == LOCAL => name.to_owned(),
            None => format!("{}/{name}", default.provider_name),
        }
    }

    /// Returns true if extractions by a model are calls of OpenAI's Chat Completions API, whose fields it therefore takes.
    #[must_use]
    pub fn has_chat_completions(&self, name: Option<&str>) -> bool {
        let configured = match name {
            None => Some(&self.default.first),
            Some(name) => self.named.get(name).map(|route| &route.first),
        };
        if let Some(endpoint) = configured {
            return endpoint.provider.is_chat_completions();
        }
        let provider = name.and_then(|name| name.split_once('/'));
        provider
            .and_then(|(provider, _)| self.providers.get(provider))
            .is_some_and(|entry| entry.provider.is_chat_completions())
    }

    /// Returns a route for `provider/model` of a configured provider, without settings of its own.
    fn ad_hoc_route(&self, name: &str, limits: &Limits) -> Option<ModelRoute> {
        let (provider_name, model) = name.split_once('/')?;
        if model.is_empty() || provider_name == LOCAL {
            return None;
        }
        let provider = self.providers.get(provider_name)?;
        let model_limits = ModelLimits::default();
        Some(ModelRoute {
            first: provider.route(provider_name, model, Mode::Auto, model_limits, limits),
            fallback: Vec::new(),
            fallback_on: FallbackOn::default(),
        })
    }

    fn unknown_model(&self, name: &str) -> Error {
        let configured = self.named.keys().map(|name| format!("\"{name}\""));
        let default = format!("\"{}\" (the default)", self.default.first.label());
        let providers = self
            .providers
            .keys()
            .filter(|name| *name != LOCAL)
            .map(|name| format!("\"{name}/…\""));
        let known: Vec<_> = configured.chain([default]).chain(providers).collect();
        let message = format!(
            "the model \"{name}\" is not known;{} known are {}",
            self.meant(name),
            known.join(", ")
        );
        Error::invalid("/model", message)
    }
}

impl Models {
    /// Returns the suggestion for a name that is not known, from the configured names, and the models of a provider whose name
    /// is near.
    fn meant(&self, name: &str) -> String {
        let default = self.default.first.label();
        let names = self.named.keys().map(String::as_str);
        if let Some(near) = nearest(name, names.chain([default.as_str()])) {
            return format!(" did you mean \"{near}\"?");
        }
        let providers = self.providers.keys().map(String::as_str);
        let meant = match name.split_once('/') {
            Some((provider, model)) => nearest(provider, providers.filter(|name| *name != LOCAL))
                .filter(|near| *near != provider)
                .map(|near| format!("{near}/{model}")),
            // A provider's own name of a model.
            None => Some(self.resolve(name)).filter(|label| label != name && *label == default),
        };
        meant.map_or_else(String::new, |meant| format!(" did you mean \"{meant}\"?"))
    }
}

impl ProviderEntry {
    /// Returns the endpoint of one of the provider's models. The first limits that are given for a model hold for all its
    /// endpoints.
    #[must_use]
    pub fn route(
        &self,
        provider_name: &str,
        model: &str,
        mode: Mode,
        model_limits: ModelLimits,
        limits: &Limits,
    ) -> ModelEndpoint {
        let registered = limits.model(self.pool, model, model_limits);
        ModelEndpoint {
            provider_name: provider_name.to_owned(),
            provider: Arc::clone(&self.provider),
            model: model.to_owned(),
            mode,
            extra_body: ExtraBody::default(),
            price: registered.price(),
            limits: registered,
            call_timeout: self.call_timeout,
        }
    }
}
