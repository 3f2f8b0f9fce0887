//! JSON Schema dialects: tables of the keywords that each provider's modes support, from its
//! documentation.
//!
//! The narrower one is used where a provider's documentation and its error messages differ.

use crate::dialect::{Dialect, EnumRule, ExtraRule, Limits, NullRule, ReferenceRule, Strictness};
use crate::tree::Keyword;

/// Dialect of OpenAI's structured outputs and strict tools.
///
/// Source: <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>, read
/// 2026-11: the root must be an object without `anyOf`. Every property is required, and every
/// object has `additionalProperties: false`; recursion is supported. Limits: 5,000 properties, 10
/// levels, 1,000 enum values, 15,000 characters in an enum of more than 250 strings, 120,000 in all
/// names and values. String lengths and `uniqueItems` are not listed. Error messages say that
/// `$ref` allows no sibling keywords.
pub static OPENAI_STRICT: Dialect = Dialect {
    name: "openai strict",
    whole: false,
    strict: Strictness::Always,
    object_root: true,
    keywords: &[
        Keyword::Pattern,
        Keyword::Format,
        Keyword::MultipleOf,
        Keyword::Maximum,
        Keyword::ExclusiveMaximum,
        Keyword::Minimum,
        Keyword::ExclusiveMinimum,
        Keyword::MinItems,
        Keyword::MaxItems,
    ],
    formats: &[
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
    ],
    all_required: true,
    extra: ExtraRule::False,
    any: false,
    enums: EnumRule::Scalars,
    limits: Limits {
        levels: 10,
        properties: 5_000,
        enum_values: 1_000,
        long_enum: (250, 15_000),
        characters: 120_000,
        ..Limits::NONE
    },
    otherwise: Some(&OPENAI_LOOSE),
    ..Dialect::WHOLE
};

/// Dialect of OpenAI's modes with `strict: false`: the schema guides the model and is not enforced.
pub static OPENAI_LOOSE: Dialect = Dialect {
    name: "openai",
    ..Dialect::OBJECT
};

/// Dialect of Azure OpenAI's structured outputs and strict tools.
///
/// Source: <https://learn.microsoft.com/en-us/azure/ai-services/openai/how-to/structured-outputs>,
/// read 2026-11: as OpenAI's first version, with 100 properties and 5 levels, without keywords for
/// limits of strings, numbers and arrays. The limit of 500 enum values is from its error message.
pub static AZURE_STRICT: Dialect = Dialect {
    name: "azure strict",
    keywords: &[],
    formats: &[],
    limits: Limits {
        levels: 5,
        properties: 100,
        enum_values: 500,
        long_enum: (250, 7_500),
        characters: 15_000,
        ..Limits::NONE
    },
    ..OPENAI_STRICT_BASE
};

/// Base of the dialects above. A `static` cannot copy another `static`, only a constant.
const OPENAI_STRICT_BASE: Dialect = Dialect {
    strict: Strictness::Always,
    whole: false,
    object_root: true,
    all_required: true,
    extra: ExtraRule::False,
    any: false,
    enums: EnumRule::Scalars,
    otherwise: Some(&OPENAI_LOOSE),
    ..Dialect::WHOLE
};

/// Dialect of Anthropic's structured outputs (`output_config.format`) and strict tools.
///
/// Source:
/// <https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations>,
/// read 2026-11: no recursion, an `enum` of scalars, no limits of numbers and lengths, `minItems`
/// of 0 or 1, `additionalProperties: false`, up to 24 optional properties and 16 unions. Regular
/// expressions have no look-around, back references or `\b`. This service rejects the first two
/// anyway; word boundaries are rare, so Anthropic's own error handles them.
pub static ANTHROPIC_STRICT: Dialect = Dialect {
    name: "anthropic strict",
    whole: false,
    strict: Strictness::Always,
    object_root: true,
    keywords: &[Keyword::Pattern, Keyword::Format, Keyword::MinItems],
    formats: &[
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "uri",
        "ipv4",
        "ipv6",
        "uuid",
    ],
    max_min_items: 1,
    extra: ExtraRule::False,
    any: false,
    enums: EnumRule::Scalars,
    references: ReferenceRule::Acyclic,
    limits: Limits {
        optional: 24,
        unions: 16,
        ..Limits::NONE
    },
    otherwise: Some(&ANTHROPIC_TOOLS),
    ..Dialect::WHOLE
};

/// Dialect of the `input_schema` of Anthropic's tools, and of schemas that its models are only
/// shown.
///
/// Source: <https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use>, read
/// 2026-11, and the API's errors: the root has `type: object` without `oneOf`, `allOf` or `anyOf`;
/// property names match `^[a-zA-Z0-9_.-]{1,64}$`.
pub static ANTHROPIC_TOOLS: Dialect = Dialect {
    name: "anthropic tools",
    whole: false,
    object_root: true,
    keywords: ALL_LIMITS,
    formats: ALL_FORMATS,
    plain_names: true,
    ..Dialect::WHOLE
};

/// Dialect of Gemini's `responseJsonSchema`.
///
/// Source: <https://ai.google.dev/api/generate-content#FIELDS.response_json_schema>, read 2026-11,
/// which lists the keywords: no limits of strings, no exclusive limits, an `enum` of strings and
/// numbers, no siblings of `$ref`. Gemini unrolls cyclic references, and only within optional
/// properties, so they are unrolled here.
pub static GEMINI_JSON_SCHEMA: Dialect = GEMINI_BASE;

/// Dialect of the `parametersJsonSchema` of Gemini's functions: as `responseJsonSchema`, with an
/// object as root.
pub static GEMINI_FUNCTION: Dialect = Dialect {
    name: "gemini function",
    object_root: true,
    otherwise: Some(&Dialect::OBJECT),
    ..GEMINI_BASE
};

/// Base of Gemini's dialects. A `static` cannot copy another `static`, only a constant.
const GEMINI_BASE: Dialect = Dialect {
    name: "gemini json schema",
    whole: false,
    strict: Strictness::Always,
    keywords: &[
        Keyword::Title,
        Keyword::Format,
        Keyword::PrefixItems,
        Keyword::MinItems,
        Keyword::MaxItems,
        Keyword::Minimum,
        Keyword::Maximum,
    ],
    formats: &["date-time", "date", "time"],
    any: false,
    enums: EnumRule::StringsAndNumbers,
    references: ReferenceRule::Acyclic,
    otherwise: Some(&Dialect::WHOLE),
    ..Dialect::WHOLE
};

/// Dialect of Gemini's `responseSchema`: a subset of OpenAPI 3.0's schemas.
///
/// Source: <https://ai.google.dev/api/caching#Schema>, read 2026-11: no `$ref`,
/// `additionalProperties` or `const`; `nullable` instead of null; an `enum` of strings; no siblings
/// of `anyOf`. From the API's errors: an object has properties, and a string's only `format` is
/// `date-time`.
pub static GEMINI_SCHEMA: Dialect = Dialect {
    name: "gemini schema",
    whole: false,
    strict: Strictness::Always,
    keywords: &[
        Keyword::Title,
        Keyword::Format,
        Keyword::Pattern,
        Keyword::MinLength,
        Keyword::MaxLength,
        Keyword::MinItems,
        Keyword::MaxItems,
        Keyword::Minimum,
        Keyword::Maximum,
    ],
    formats: &["date-time"],
    extra: ExtraRule::Unknown,
    empty_objects: false,
    any: false,
    null: NullRule::Flag,
    type_lists: false,
    enums: EnumRule::Strings,
    references: ReferenceRule::None,
    otherwise: Some(&Dialect::WHOLE),
    ..Dialect::WHOLE
};

/// Dialect of Ollama's `format` and of llama.cpp's `response_format`: both convert it to a GBNF
/// grammar, with the same code.
///
/// Source:
/// <https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md#json-schemas--gbnf> and
/// <https://github.com/ollama/ollama/blob/main/docs/capabilities/structured-outputs.mdx>, read
/// 2026-11: `prefixItems` is broken, limits apply to integers only, a `pattern` must be anchored,
/// and formats are dates and `uuid`. Objects have no additional properties unless the schema allows
/// them.
pub static LLAMA_CPP: Dialect = Dialect {
    name: "llama.cpp",
    whole: false,
    strict: Strictness::IfClosed,
    keywords: &[
        Keyword::Title,
        Keyword::Pattern,
        Keyword::Format,
        Keyword::MinLength,
        Keyword::MaxLength,
        Keyword::MinItems,
        Keyword::MaxItems,
        Keyword::Minimum,
        Keyword::Maximum,
        Keyword::ExclusiveMinimum,
        Keyword::ExclusiveMaximum,
    ],
    formats: &["date", "time", "date-time", "uuid"],
    anchored_patterns: true,
    integer_limits_only: true,
    otherwise: Some(&Dialect::WHOLE),
    ..Dialect::WHOLE
};

/// Dialect of other servers compatible with OpenAI's Chat Completions: vLLM, SGLang, LM Studio,
/// Groq, Together, OpenRouter.
///
/// The intersection of XGrammar and llguidance, one of which most of them use:
/// <https://docs.vllm.ai/en/stable/features/structured_outputs.html>,
/// <https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md>, read 2026-11.
pub static COMPATIBLE: Dialect = Dialect {
    name: "compatible",
    whole: false,
    strict: Strictness::IfClosed,
    object_root: true,
    keywords: ALL_LIMITS,
    formats: ALL_FORMATS,
    otherwise: Some(&OPENAI_LOOSE),
    ..Dialect::WHOLE
};

/// Keywords that limit a value and that most providers support.
const ALL_LIMITS: &[Keyword] = &[
    Keyword::Title,
    Keyword::Pattern,
    Keyword::Format,
    Keyword::MinLength,
    Keyword::MaxLength,
    Keyword::Minimum,
    Keyword::Maximum,
    Keyword::ExclusiveMinimum,
    Keyword::ExclusiveMaximum,
    Keyword::PrefixItems,
    Keyword::MinItems,
    Keyword::MaxItems,
];

/// Formats that most providers support.
const ALL_FORMATS: &[&str] = &[
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "uri",
    "ipv4",
    "ipv6",
    "uuid",
    "json-pointer",
];
