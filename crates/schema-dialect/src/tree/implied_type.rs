//! Implied type of a schema without `type`: the type that its other keywords apply to.
//!
//! JSON Schema lets a value of any other type pass such keywords, but their author means values of that type.

use super::json_type::JsonType;
use super::keyword::Keyword;
use super::node_ref::NodeRef;

/// Keywords that apply to one type of values, with that type; objects first.
const KEYWORD_TYPES: [(Keyword, JsonType); 20] = [
    (Keyword::Properties, JsonType::Object),
    (Keyword::Required, JsonType::Object),
    (Keyword::AdditionalProperties, JsonType::Object),
    (Keyword::PatternProperties, JsonType::Object),
    (Keyword::PropertyNames, JsonType::Object),
    (Keyword::MinProperties, JsonType::Object),
    (Keyword::MaxProperties, JsonType::Object),
    (Keyword::Items, JsonType::Array),
    (Keyword::PrefixItems, JsonType::Array),
    (Keyword::Contains, JsonType::Array),
    (Keyword::MinItems, JsonType::Array),
    (Keyword::MaxItems, JsonType::Array),
    (Keyword::UniqueItems, JsonType::Array),
    (Keyword::Pattern, JsonType::String),
    (Keyword::Format, JsonType::String),
    (Keyword::MinLength, JsonType::String),
    (Keyword::MaxLength, JsonType::String),
    (Keyword::Minimum, JsonType::Number),
    (Keyword::Maximum, JsonType::Number),
    (Keyword::MultipleOf, JsonType::Number),
];

/// Returns true if a keyword for which `has_keyword` returns true implies the type.
pub fn is_type_implied(kind: JsonType, has_keyword: impl Fn(Keyword) -> bool) -> bool {
    KEYWORD_TYPES
        .iter()
        .any(|(keyword, implied)| *implied == kind && has_keyword(*keyword))
}

impl NodeRef<'_> {
    /// Returns the implied type of the schema, an object before an array before a scalar. `None`: no keyword implies a type.
    #[must_use]
    pub fn implied_type(self) -> Option<JsonType> {
        let mut implied = KEYWORD_TYPES.into_iter();
        implied
            .find(|(keyword, _)| self.has(*keyword))
            .map(|(_, implied)| implied)
    }
}
