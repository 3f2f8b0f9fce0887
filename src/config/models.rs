//! `[models.NAME]`: models by a name of one's own.

use std::collections::BTreeMap;

use crate::model::Mode;

use super::{
    error::Error,
    missing::check_provider,
    print::key_text,
    providers::Provider,
    section::Section,
    value::{choice, text},
};

/// A model that requests can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// `provider`, required: a configured provider's name, or `local`.
    pub provider: String,
    /// `model`: the provider's own name for it. Default: the entry's name.
    pub model: String,
    /// `mode`. Default `auto`.
    pub mode: Mode,
}

const MODES: [(&str, Mode); 5] = [
    ("auto", Mode::Auto),
    ("json_schema", Mode::JsonSchema),
    ("tools", Mode::Tools),
    ("json_object", Mode::JsonObject),
    ("text", Mode::Text),
];

/// Reads every `[models.NAME]`.
pub(super) fn read(
    sections: Vec<(String, Section<'_>)>,
    providers: &BTreeMap<String, Provider>,
) -> Result<BTreeMap<String, Model>, Error> {
    let mut models = BTreeMap::new();
    for (name, section) in sections {
        let model = Model::read(&name, section, providers)?;
        models.insert(name, model);
    }
    Ok(models)
}

impl Model {
    fn read(name: &str, mut section: Section<'_>, providers: &BTreeMap<String, Provider>) -> Result<Self, Error> {
        if !is_name(name) {
            let message = format!("[models.{}]: a model's name is letters, digits and . _ : - without a slash", key_text(name));
            return Err(Error::new(&section.origin, message));
        }
        let provider_set = section.origin_of("provider");
        let provider = section.find("provider", text("the name of a provider", |text| Some(text.to_owned())))?;
        let model = section.get("model", name, text("a name without white space", upstream_name))?;
        let mode = section.get("mode", "auto", choice(&MODES))?;
        let (header, origin) = (section.header.clone(), section.origin.clone());
        section.finish()?;
        let missing = || Error::new(&origin, format!("[{header}] has no `provider`; set it to a configured one, or `local`"));
        let provider = provider.ok_or_else(missing)?;
        check_provider(&provider, providers).map_err(|why| Error::new(&provider_set, format!("`{header}.provider` {why}")))?;
        Ok(Self { provider, model, mode })
    }
}

/// A slash would make it look like `provider/model`.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    name.bytes().all(fits) && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// A provider's name for a model: whatever it likes, slashes too, but nothing blank.
pub(super) fn upstream_name(text: &str) -> Option<String> {
    let blank = |letter: char| letter.is_whitespace() || letter.is_control();
    (!text.is_empty() && !text.contains(blank)).then(|| text.to_owned())
}
