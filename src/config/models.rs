//! Sections `[models.NAME]`: models with a name of the user's choice, with fallbacks and prices.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use crate::types::{ExtraBody, FallbackCondition, FallbackOn, Mode, Price, Usd};

use super::{
    error::Error,
    extra_body,
    model_name::{KnownModels, ModelName, upstream_name},
    parsers::{Parsed, choice, concurrency, list, number, text},
    print::key_text,
    provider_hint::check_provider,
    providers::Provider,
    section::Section,
    setting::{Origin, Setting},
};

/// Settings of a model that requests can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// `provider`: name of a configured provider, or `local`. Required.
    pub provider: String,
    /// `model`: the provider's name for the model. Default: the name of the table.
    pub model: String,
    /// `mode`: output mode. Default `auto`.
    pub mode: Mode,
    /// `fallback`: models to call, in this order, when this one is unavailable: names of
    /// `[models.NAME]` or `provider/model`. At most 8, all different, and not the model itself.
    /// Fallbacks of a fallback are not followed. Default none.
    pub fallback: Vec<ModelName>,
    /// `fallback_on`: conditions under which a fallback is called. Default all but `refused`.
    pub fallback_on: FallbackOn,
    /// `[models.NAME.extra_body]`: fields that are added to each request. Default none.
    pub extra_body: ExtraBody,
    /// `max_concurrency`: maximum number of calls in flight to the model. 1 to 100,000. `None`:
    /// only the limits of its provider and of the process apply.
    pub max_concurrency: Option<NonZeroU32>,
    /// `input_usd_per_million_tokens` and `output_usd_per_million_tokens`: US dollars, 0 to
    /// 1,000,000 each; stored per token. `None` if neither is set: the price is unknown, and calls
    /// do not count towards a budget.
    pub price: Option<Price>,
}

/// Names of the output modes.
const MODES: [(&str, Mode); 5] = [
    ("auto", Mode::Auto),
    ("json_schema", Mode::JsonSchema),
    ("tools", Mode::Tools),
    ("json_object", Mode::JsonObject),
    ("text", Mode::Text),
];

/// Reads all `[models.NAME]` tables.
pub(super) fn from_sections(
    sections: Vec<(String, Section<'_>)>,
    providers: &BTreeMap<String, Provider>,
) -> Result<BTreeMap<String, Model>, Error> {
    let names: BTreeSet<_> = sections.iter().map(|(name, _)| name.clone()).collect();
    let known = KnownModels {
        providers,
        models: &names,
    };
    let mut models = BTreeMap::new();
    for (name, section) in sections {
        let model = Model::from_section(&name, section, &known)?;
        models.insert(name, model);
    }
    Ok(models)
}

impl Model {
    fn from_section(
        name: &str,
        mut section: Section<'_>,
        known: &KnownModels<'_>,
    ) -> Result<Self, Error> {
        if !is_name(name) {
            let message = format!(
                "[models.{}]: a model's name has letters, digits and . _ : -, and no slash",
                key_text(name)
            );
            return Err(Error::new(&section.origin, message));
        }
        let provider_set = section.origin_of("provider");
        let provider = section.find(
            "provider",
            text("the name of a provider", |text| Some(text.to_owned())),
        )?;
        let model = section.get(
            "model",
            name,
            text("a name without white space", upstream_name),
        )?;
        let mode = section.get("mode", "auto", choice(&MODES))?;
        let fallback = Fallback::from_section(&mut section)?;
        let fallback_on = fallback_on(&mut section)?;
        let max_concurrency = section.find("max_concurrency", concurrency)?;
        let price = price(&mut section)?;
        let extra_body = extra_body::from_section(section.child("extra_body")?)?;
        let (header, origin) = (section.header.clone(), section.origin.clone());
        section.finish()?;
        let missing = || {
            Error::new(
                &origin,
                format!("[{header}] has no `provider`; set it to a configured one, or `local`"),
            )
        };
        let provider = provider.ok_or_else(missing)?;
        let unknown = |why: String| Error::new(&provider_set, format!("`{header}.provider` {why}"));
        check_provider(&provider, known.providers).map_err(unknown)?;
        let itself = [
            ModelName::Named(name.to_owned()),
            ModelName::Direct {
                provider: provider.clone(),
                model: model.clone(),
            },
        ];
        let fallback = fallback.resolve(&itself, known)?;
        Ok(Self {
            provider,
            model,
            mode,
            fallback,
            fallback_on,
            extra_body,
            max_concurrency,
            price,
        })
    }
}

/// Reads the conditions for a fallback.
fn fallback_on(section: &mut Section<'_>) -> Result<FallbackOn, Error> {
    let all = FallbackCondition::ALL;
    let default: Vec<_> = all
        .into_iter()
        .filter(|(_, condition)| FallbackOn::default().has(*condition))
        .map(|(name, _)| name)
        .collect();
    let names = all.map(|(name, _)| name).join(", ");
    let condition = |text: &str| {
        let found = all.iter().find(|(name, _)| *name == text);
        found.map(|(_, condition)| *condition)
    };
    let conditions = section.get(
        "fallback_on",
        default,
        list(&format!("an array of: {names}"), condition),
    )?;
    Ok(conditions.into_iter().collect())
}

/// Maximum number of fallbacks of a model.
const MAX_FALLBACK: usize = 8;

/// Fallbacks of a model by name; they are resolved once all models are known.
struct Fallback {
    key: String,
    origin: Origin,
    names: Vec<String>,
}

impl Fallback {
    fn from_section(section: &mut Section<'_>) -> Result<Self, Error> {
        let origin = section.origin_of("fallback");
        let names = |setting: &Setting| {
            let (names, shown) = list("names of models", |text| Some(text.to_owned()))(setting)?;
            if names.len() > MAX_FALLBACK {
                return Err(format!(
                    "names {} models; at most {MAX_FALLBACK} are allowed",
                    names.len()
                ));
            }
            Ok((names, shown))
        };
        let names = section.get("fallback", Vec::<String>::new(), names)?;
        Ok(Self {
            key: section.name("fallback"),
            origin,
            names,
        })
    }

    fn resolve(
        self,
        itself: &[ModelName],
        known: &KnownModels<'_>,
    ) -> Result<Vec<ModelName>, Error> {
        let mut models = Vec::new();
        for (index, text) in self.names.iter().enumerate() {
            let refuse =
                |why: String| Error::new(&self.origin, format!("`{}[{index}]` {why}", self.key));
            let model = known.resolve(text).map_err(refuse)?;
            if itself.contains(&model) {
                return Err(refuse(format!(
                    "is `{text}`, the model itself; name another model"
                )));
            }
            if models.contains(&model) {
                return Err(refuse(format!(
                    "is `{text}` for the second time; name each model once"
                )));
            }
            models.push(model);
        }
        Ok(models)
    }
}

/// Reads the price. `None`: neither of its two keys is set.
fn price(section: &mut Section<'_>) -> Result<Option<Price>, Error> {
    let keys = [
        "input_usd_per_million_tokens",
        "output_usd_per_million_tokens",
    ];
    let [input_set, output_set] = keys.map(|key| section.origin_of(key));
    let [input_key, output_key] = keys;
    match (
        section.find(input_key, price_per_token)?,
        section.find(output_key, price_per_token)?,
    ) {
        (Some(input), Some(output)) => Ok(Some(Price { input, output })),
        (Some(_), None) => Err(section.no_effect(input_key, &input_set, output_key)),
        (None, Some(_)) => Err(section.no_effect(output_key, &output_set, input_key)),
        (None, None) => Ok(None),
    }
}

/// Parses dollars per million tokens into the price of one token.
fn price_per_token(setting: &Setting) -> Parsed<Usd> {
    let usd = |dollars: f64| Usd::from_dollars(dollars / 1e6).filter(|_| dollars <= 1e6);
    number("a number of US dollars from 0 to 1000000", usd)(setting)
}

/// Returns true if `name` is a valid name of a model. A slash would make it look like
/// `provider/model`.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    name.bytes().all(fits) && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}
