//! Sections `[models.NAME.extra_body]`: fields that are added to each request to the provider.

use serde_json::{Map, Number, Value as Json};

use crate::types::ExtraBody;

use super::{
    error::Error,
    section::Section,
    setting::{Setting, Value},
};

/// Reads all fields.
pub(super) fn from_section(mut section: Section<'_>) -> Result<ExtraBody, Error> {
    let mut fields = Map::new();
    for (name, setting) in section.take_all() {
        let field = section.parse(&name, &setting, |setting| {
            let shown = shown(setting);
            Ok((to_json(&shown)?, shown))
        })?;
        fields.insert(name, field);
    }
    ExtraBody::new(fields).ok_or_else(|| {
        let message = format!(
            "[{}] is too large; it is sent with every call",
            section.header
        );
        Error::new(&section.origin, message)
    })
}

/// Returns a setting as TOML.
fn shown(setting: &Setting) -> toml::Value {
    match &setting.value {
        Value::Leaf(value) => value.clone(),
        Value::Table(table) => {
            let fields = table.0.iter();
            toml::Value::Table(
                fields
                    .map(|(name, setting)| (name.clone(), shown(setting)))
                    .collect(),
            )
        }
    }
}

/// Converts a value to JSON, which knows no dates and no infinite numbers.
fn to_json(value: &toml::Value) -> Result<Json, String> {
    Ok(match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => Number::from_f64(*number)
            .map(Json::Number)
            .ok_or("must be a finite number")?,
        toml::Value::Boolean(value) => (*value).into(),
        toml::Value::Datetime(_) => {
            return Err("must not be a date, which JSON does not know; write a string".to_owned());
        }
        toml::Value::Array(items) => items.iter().map(to_json).collect::<Result<_, _>>()?,
        toml::Value::Table(fields) => {
            let fields = fields.iter();
            fields
                .map(|(name, value)| Ok((name.clone(), to_json(value)?)))
                .collect::<Result<Map<_, _>, String>>()?
                .into()
        }
    })
}
