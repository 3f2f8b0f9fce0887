//! Models that requests can name: the configured routes, their fallbacks, and `provider/model` of any configured provider.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::provider::Provider;
use crate::types::{
    CallerAccess, Code, Error, ExtraBody, FallbackOn, FieldError, Mode, Price, nearest,
    truncate_for_display,
};
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
    /// Configured name of the default route, if it has one.
    pub default_name: Option<String>,
    /// Configured routes by the name that callers use.
    pub named: BTreeMap<String, ModelRoute>,
    /// Configured providers by name.
    pub providers: BTreeMap<String, ProviderEntry>,
}

impl Models {
    /// Returns the route of a configured name or of `provider/model`; the default route for `None`. Fallbacks that the caller may
    /// not use are left out.
    ///
    /// # Errors
    /// `invalid_request` at `/model`, with the known names; `forbidden` if the caller may not use the model.
    pub fn find(
        &self,
        name: Option<&str>,
        access: &CallerAccess,
        limits: &Limits,
    ) -> Result<ModelRoute, Error> {
        if let Some(name) = name
            && name.len() > MAX_NAME_BYTES
        {
            let message = format!("a model's name has at most {MAX_NAME_BYTES} bytes");
            return Err(Error::invalid("/model", message));
        }
        // Before the name is looked up, so that a caller does not learn which other names there are.
        if !self.is_allowed(name, access) {
            return Err(forbidden_model(name, access));
        }
        let mut route = self.known_route(name, access, limits)?;
        route
            .fallback
            .retain(|endpoint| self.is_allowed_endpoint(endpoint, access));
        Ok(route)
    }

    fn known_route(
        &self,
        name: Option<&str>,
        access: &CallerAccess,
        limits: &Limits,
    ) -> Result<ModelRoute, Error> {
        let Some(name) = name else {
            return Ok(self.default.clone());
        };
        if let Some(route) = self.named.get(name) {
            return Ok(route.clone());
        }
        if name == self.default.first.label() {
            return Ok(self.default.clone());
        }
        self.ad_hoc_route(name, limits)
            .ok_or_else(|| self.unknown_model(name, access))
    }

    /// Returns true if a caller may name this model; `None` is the default model.
    #[must_use]
    pub fn is_allowed(&self, name: Option<&str>, access: &CallerAccess) -> bool {
        let default_label = self.default.first.label();
        let name = name.unwrap_or(&default_label);
        let is_default = name == default_label;
        access.lists_model(name)
            || (is_default
                && self
                    .default_name
                    .as_ref()
                    .is_some_and(|name| access.lists_model(name)))
            || self
                .named
                .get(name)
                .is_some_and(|route| lists_provider(&route.first, access))
    }

    /// Returns true if a caller may use this endpoint as a fallback: by its own name, or by that of a configured model.
    fn is_allowed_endpoint(&self, endpoint: &ModelEndpoint, access: &CallerAccess) -> bool {
        let label = endpoint.label();
        access.lists_model(&label)
            || self
                .named
                .iter()
                .any(|(name, route)| access.lists_model(name) && route.first.label() == label)
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
        let registered = limits.model(provider.pool, model);
        Some(ModelRoute {
            first: provider.endpoint(provider_name, model, Mode::Auto, registered),
            fallback: Vec::new(),
            fallback_on: FallbackOn::default(),
        })
    }

    fn unknown_model(&self, name: &str, access: &CallerAccess) -> Error {
        let shown = truncate_for_display(name);
        if let Some(models) = &access.models {
            let message = format!(
                "the model \"{shown}\" is not known; this API key may use {}",
                quoted(models)
            );
            return Error::invalid("/model", message);
        }
        let configured = self.named.keys().map(|name| format!("\"{name}\""));
        let default = format!("\"{}\" (the default)", self.default.first.label());
        let providers = self
            .providers
            .keys()
            .filter(|name| *name != LOCAL)
            .map(|name| format!("\"{name}/…\""));
        let known: Vec<_> = configured.chain([default]).chain(providers).collect();
        let message = format!(
            "the model \"{shown}\" is not known;{} known are {}",
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

/// Returns true if a caller may use all models of the endpoint's provider.
fn lists_provider(endpoint: &ModelEndpoint, access: &CallerAccess) -> bool {
    let all = format!("{}/*", endpoint.provider_name);
    access
        .models
        .as_ref()
        .is_none_or(|models| models.contains(&all))
}

/// Returns the error for a model that a caller may not use.
fn forbidden_model(name: Option<&str>, access: &CallerAccess) -> Error {
    let models = access.models.as_deref().unwrap_or_default();
    if models.is_empty() {
        let detail = "the caller of this request is not configured any more, and may use no model";
        return Error::new(Code::Forbidden, detail);
    }
    let models = quoted(models);
    let message = match name {
        Some(name) => {
            let shown = truncate_for_display(name);
            format!("this API key may not use the model \"{shown}\"; it may use {models}")
        }
        None => format!(
            "this API key may not use the default model; name one that it may use in `model`: {models}"
        ),
    };
    let field = FieldError::new("/model", message.as_str());
    Error::new(Code::Forbidden, message).with_errors(vec![field])
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}

impl ProviderEntry {
    /// Returns the endpoint of a model that the configuration names. The first limits that are given for a model hold for all its
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
        let registered = limits.configured_model(self.pool, model, model_limits);
        self.endpoint(provider_name, model, mode, registered)
    }

    fn endpoint(
        &self,
        provider_name: &str,
        model: &str,
        mode: Mode,
        registered: Arc<throttle::Model>,
    ) -> ModelEndpoint {
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
