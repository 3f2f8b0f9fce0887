//! Query parameters: decoding, the extraction spec of NDJSON requests, and pagination.

use std::borrow::Cow;

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

use super::json_body;
use crate::types::{
    Batch, Error, ErrorMessage, OffsetUnit, did_you_mean, field_is_text, member_pointer,
    offset_unit, plain_message,
};

/// Returns the decoded names and values.
///
/// # Errors
/// `invalid_request` for a name or value that is not UTF-8.
pub fn pairs(query: &str) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), Error>> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)
                .ok_or_else(|| Error::invalid("", "the name of a query parameter is not UTF-8"))?;
            let value = decode(value).ok_or_else(|| {
                Error::invalid(
                    member_pointer("", &name),
                    "the value of this query parameter is not UTF-8",
                )
            })?;
            Ok((name, value))
        })
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    Some(Cow::Owned(
        percent_decode_str(&spaced).decode_utf8().ok()?.into_owned(),
    ))
}

/// Parses the spec and the batch's fields from a query.
///
/// # Errors
/// `invalid_request` with the pointer of the first invalid parameter.
pub fn batch(query: &str) -> Result<Batch, Error> {
    let (members, unit) = batch_members(query)?;
    let mut batch: Batch = json_body::from_text(&members)?;
    batch.spec.offset_unit = unit;
    Ok(batch)
}

/// Converts a query to a JSON object with the fields of a batch, and parses the unit of the offsets in evidence.
///
/// # Errors
/// `invalid_request` with the pointer of the first invalid parameter.
pub fn batch_members(query: &str) -> Result<(String, OffsetUnit), Error> {
    let mut unit = None;
    let members = members_with(query, |name, value| {
        if name == OFFSET_UNIT {
            unit = Some(parse_offset_unit(value).map_err(|message| at_parameter(name, message))?);
        }
        Ok(name == OFFSET_UNIT)
    })?;
    Ok((members, unit.unwrap_or_default()))
}

/// Query parameter with the unit of the offsets in evidence.
pub const OFFSET_UNIT: &str = "offset_unit";

/// Parses the unit of offsets.
///
/// # Errors
/// The expected values.
pub fn parse_offset_unit(value: &str) -> Result<OffsetUnit, &'static str> {
    offset_unit(value).ok_or("expected `code_point`, `utf16` or `byte`")
}

/// Parses the query of a request whose body has the spec: the unit of the offsets in evidence, if it is given.
///
/// # Errors
/// `invalid_request` with the pointer of the first invalid parameter.
pub fn offset_unit_only(uri: &Uri) -> Result<OffsetUnit, Error> {
    let mut unit = OffsetUnit::default();
    parse_query(uri.query(), &[OFFSET_UNIT], |name, value| {
        if name == OFFSET_UNIT {
            unit = parse_offset_unit(value)?;
        }
        Ok(name == OFFSET_UNIT)
    })?;
    Ok(unit)
}

fn at_parameter(name: &str, message: impl Into<ErrorMessage>) -> Error {
    Error::invalid(member_pointer("", name), message)
}

/// Converts a query to a JSON object. Text fields are taken literally; all other values are parsed as JSON.
///
/// # Errors
/// `invalid_request` with the pointer of the first invalid parameter.
pub fn members(query: &str) -> Result<String, Error> {
    members_with(query, |_, _| Ok(false))
}

/// Converts a query to a JSON object, without the parameters that `take` takes, for which it returns true.
fn members_with(
    query: &str,
    mut take: impl FnMut(&str, &str) -> Result<bool, Error>,
) -> Result<String, Error> {
    let mut members = Vec::new();
    for pair in pairs(query) {
        let (name, value) = pair?;
        if take(&name, &value)? {
            continue;
        }
        if name == "inputs" {
            return Err(Error::invalid(
                "/inputs",
                "`inputs` is not allowed as a query parameter; send one input per line of the body",
            ));
        }
        let text = if is_text(&name, &value) {
            serde_json::Value::from(value.as_ref()).to_string()
        } else {
            value.into_owned()
        };
        let text = match serde_json::from_str::<&RawValue>(&text) {
            Ok(_) => text,
            Err(error) if text.starts_with(['{', '[', '"']) => {
                let message = format!(
                    "the value of this query parameter must be URL-encoded JSON: {}",
                    plain_message(&error)
                );
                return Err(Error::invalid(member_pointer("", &name), message));
            }
            // As a string, it is rejected by what is expected in its place.
            Err(_) => serde_json::Value::from(text).to_string(),
        };
        members.push(format!("{}:{text}", serde_json::Value::from(name.as_ref())));
    }
    Ok(format!("{{{}}}", members.join(",")))
}

fn is_text(name: &str, value: &str) -> bool {
    field_is_text(name) || name == "schema" && !value.trim_start().starts_with('{')
}

/// Page of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct PageQuery {
    /// Maximum number of entries, 1 to 1000. Default 100.
    pub limit: usize,
    /// Cursor: `next` of the previous page. `None`: the first page.
    pub after: Option<String>,
}

impl PageQuery {
    /// Parses the page parameters of a query.
    ///
    /// # Errors
    /// `invalid_request` with the pointer of the first invalid parameter.
    pub fn parse(query: Option<&str>) -> Result<Self, Error> {
        Self::parse_with(query, &[], |_, _| Ok(false))
    }

    /// Parses the page parameters of a query with further parameters, whose names are `others`. `other` returns false for an
    /// unknown name, and the expected value as its error.
    ///
    /// # Errors
    /// As [`PageQuery::parse`].
    pub fn parse_with(
        query: Option<&str>,
        others: &[&str],
        mut other: impl FnMut(&str, &str) -> Result<bool, &'static str>,
    ) -> Result<Self, Error> {
        let mut page = Self {
            limit: 100,
            after: None,
        };
        let known = [&["limit", "after"], others].concat();
        parse_query(query, &known, |name, value| {
            match name {
                "limit" => {
                    let limit = value
                        .parse()
                        .ok()
                        .filter(|limit| (1..=1000).contains(limit));
                    page.limit = limit.ok_or("expected a whole number from 1 to 1000")?;
                }
                "after" => page.after = Some(value.to_owned()),
                _ => return other(name, value),
            }
            Ok(true)
        })?;
        Ok(page)
    }
}

/// Rejects query parameters on a path that takes none.
///
/// # Errors
/// `invalid_request` with the pointer of the first parameter.
pub fn no_query(uri: &Uri) -> Result<(), Error> {
    parse_query(uri.query(), &[], |_, _| Ok(false))
}

/// Passes each parameter of a query to `parse`, which returns false for an unknown name, and the expected value as its
/// error. `known` are the names for messages.
///
/// # Errors
/// `invalid_request` with the pointer of the first invalid parameter.
pub fn parse_query(
    query: Option<&str>,
    known: &[&str],
    mut parse: impl FnMut(&str, &str) -> Result<bool, &'static str>,
) -> Result<(), Error> {
    for pair in pairs(query.unwrap_or_default()) {
        let (name, value) = pair?;
        let invalid = |message: String| at_parameter(&name, message);
        if !parse(&name, &value).map_err(|expected| invalid(expected.to_owned()))? {
            return Err(invalid(unknown_parameter(&name, known)));
        }
    }
    Ok(())
}

fn unknown_parameter(name: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return "this path takes no query parameters; leave out what follows the `?`".to_owned();
    }
    let hint = did_you_mean(name, known.iter().copied());
    format!(
        "unknown query parameter for this path;{hint} it takes `{}`",
        known.join("`, `")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{OnError, SchemaSource};

    #[test]
    fn a_query_is_parsed_as_a_spec() {
        let batch = batch("schema=%7B%22type%22%3A%22object%22%7D&instructions=be+brief%21&concurrency=2&on_error=stop").unwrap();
        assert!(matches!(batch.spec.schema, Some(SchemaSource::Inline(_))));
        assert_eq!(batch.spec.instructions.as_deref(), Some("be brief!"));
        assert_eq!(
            (batch.concurrency(), batch.on_error),
            (Some(2), OnError::Stop)
        );
        let named = super::batch("schema=person").unwrap();
        assert!(matches!(named.spec.schema, Some(SchemaSource::Named(name)) if name == "person"));
    }

    #[test]
    fn an_invalid_parameter_is_named() {
        for (query, at) in [
            ("concurrency=x", "/concurrency"),
            ("sheme=a", "/sheme"),
            ("max_attempts=99", "/max_attempts"),
            ("inputs=[]", "/inputs"),
            ("schema={", "/schema"),
            ("instructions=%ff", "/instructions"),
            ("a%ff=1", ""),
            ("seed=1e400", "/seed"),
            ("seed=1&seed=1", "/seed"),
        ] {
            assert_eq!(batch(query).unwrap_err().errors[0].pointer, at, "{query}");
        }
        assert_eq!(
            PageQuery::parse(Some("limit=0")).unwrap_err().errors[0].pointer,
            "/limit"
        );
        assert_eq!(
            PageQuery::parse(Some("limit=5&after=x")).unwrap(),
            PageQuery {
                limit: 5,
                after: Some("x".to_owned())
            }
        );
    }
}
