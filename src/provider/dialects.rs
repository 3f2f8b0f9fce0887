//! What each provider's mode takes of JSON Schema: a table for each, from its documentation.
//!
//! Where a provider's documentation and its errors differ, the narrower counts.

use crate::types::{Dialect, EnumRule, ExtraRule, Limits, NullRule, ReferenceRule, Strictness};

/// Structured outputs and strict tools of OpenAI.
///
/// Source: <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>, read 2026-11: the root is an object
/// and no `anyOf`; every property is required, every object has `additionalProperties: false`; recursion is taken; up to 5,000
/// properties, 10 levels, 1,000 enum values, 15,000 characters in an enum of more than 250 strings, 120,000 in all names and
/// values. The lengths of strings and `uniqueItems` are not in its list, and its errors say that beside `$ref`
/// nothing may stand.
pub static OPENAI_STRICT: Dialect = Dialect {
    name: "openai strict",
    whole: false,
    strict: Strictness::Always,
    object_root: true,
    keywords: &[
        "pattern",
        "format",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "minItems",
        "maxItems",
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

/// The same modes with `strict: false`: the schema guides the model, and nothing is held to it.
pub static OPENAI_LOOSE: Dialect = Dialect {
    name: "openai",
    ..Dialect::OBJECT
};

/// Structured outputs and strict tools of Azure OpenAI.
///
/// Source: <https://learn.microsoft.com/en-us/azure/ai-services/openai/how-to/structured-outputs>, read 2026-11: as OpenAI's
/// first version, with 100 properties and 5 levels, and none of the keywords that limit a string, a number or an array; 500 enum
/// values (from its error message).
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

/// What a `static` may be made of: another one may not be read.
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

/// Structured outputs (`output_config.format`) and strict tools of Anthropic.
///
/// Source: <https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations>, read 2026-11: no
/// recursion; an `enum` of scalars; no limits of numbers and of lengths; `minItems` of 0 or 1; `additionalProperties: false`;
/// up to 24 optional properties and 16 unions. Of regular expressions it takes no look-around, back reference or `\b`; those
/// that are refused here in any case, and word boundaries, are few enough to be left to its answer.
pub static ANTHROPIC_STRICT: Dialect = Dialect {
    name: "anthropic strict",
    whole: false,
    strict: Strictness::Always,
    object_root: true,
    keywords: &["pattern", "format", "minItems"],
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

/// The `input_schema` of a tool of Anthropic's, and whatever its models are only shown.
///
/// Source: <https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use>, read 2026-11, and the API's
/// errors: the root has `type: object` and no `oneOf`, `allOf` or `anyOf`; names of properties match `^[a-zA-Z0-9_.-]{1,64}$`.
pub static ANTHROPIC_TOOLS: Dialect = Dialect {
    name: "anthropic tools",
    whole: false,
    object_root: true,
    keywords: ALL_LIMITS,
    formats: ALL_FORMATS,
    plain_names: true,
    ..Dialect::WHOLE
};

/// `responseJsonSchema` of Gemini.
///
/// Source: <https://ai.google.dev/api/generate-content#FIELDS.response_json_schema>, read 2026-11, which lists the keywords:
/// no limits of strings, no exclusive limits; an `enum` of strings and numbers; nothing beside `$ref`; cyclic references only
/// within properties that are not required, and unrolled, so they are unrolled here.
pub static GEMINI_JSON_SCHEMA: Dialect = GEMINI_BASE;

/// `parametersJsonSchema` of a function of Gemini: the same, of an object.
pub static GEMINI_FUNCTION: Dialect = Dialect {
    name: "gemini function",
    object_root: true,
    otherwise: Some(&Dialect::OBJECT),
    ..GEMINI_BASE
};

/// What a `static` may be made of: another one may not be read.
const GEMINI_BASE: Dialect = Dialect {
    name: "gemini json schema",
    whole: false,
    strict: Strictness::Always,
    keywords: &[
        "title",
        "format",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
    ],
    formats: &["date-time", "date", "time"],
    any: false,
    enums: EnumRule::StringsAndNumbers,
    references: ReferenceRule::Acyclic,
    otherwise: Some(&Dialect::WHOLE),
    ..Dialect::WHOLE
};

/// `responseSchema` and function declarations of Gemini: a part of OpenAPI 3.0's schemas.
///
/// Source: <https://ai.google.dev/api/caching#Schema>, read 2026-11: no `$ref`, `additionalProperties` or `const`, `nullable` for
/// null, an `enum` of strings, beside `anyOf` nothing else; and the API's errors: an object has properties, a string's `format`
/// is `date-time`.
pub static GEMINI_SCHEMA: Dialect = Dialect {
    name: "gemini schema",
    whole: false,
    strict: Strictness::Always,
    keywords: &[
        "title",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
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

/// `format` of Ollama, and `response_format` of llama.cpp's server: both make a GBNF grammar of it with the same code.
///
/// Source: <https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md#json-schemas--gbnf> and
/// <https://github.com/ollama/ollama/blob/main/docs/capabilities/structured-outputs.mdx>, read 2026-11: `prefixItems` is broken,
/// limits are for integers only, a `pattern` has to be anchored, of formats only dates and `uuid`; an object has no members
/// beside its properties unless it says so.
pub static LLAMA_CPP: Dialect = Dialect {
    name: "llama.cpp",
    whole: false,
    strict: Strictness::IfClosed,
    keywords: &[
        "title",
        "pattern",
        "format",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
    ],
    formats: &["date", "time", "date-time", "uuid"],
    anchored_patterns: true,
    integer_limits_only: true,
    otherwise: Some(&Dialect::WHOLE),
    ..Dialect::WHOLE
};

/// Any other server that speaks OpenAI's Chat Completions: vLLM, SGLang, LM Studio, Groq, Together, OpenRouter.
///
/// What XGrammar and llguidance both take, which most of them run:
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

/// What limits a value and is taken by all who are generous.
const ALL_LIMITS: &[&str] = &[
    "title",
    "pattern",
    "format",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "prefixItems",
    "minItems",
    "maxItems",
];

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
