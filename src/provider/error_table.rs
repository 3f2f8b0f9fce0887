//! Table of what a provider's error means, the same for all wire formats and gateways. Each row has its source.
//!
//! A row is an error code, or words of the message. The first row that matches counts, so what is final stands before what is
//! waited out: a provider reports an exhausted balance as a rate limit too.

use super::error_body::UpstreamErrorBody;
use super::own_words::OwnWords;
use super::phrase::{begins_with_phrase, contains_phrase, words};
use super::retry_hint::wait_in_words;

/// Class of an error, where its code or its words say more than the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorClass {
    /// The HTTP status says it all.
    #[default]
    Status,
    /// The model's answer was not valid, which the provider reports as an error of the call.
    InvalidGeneration,
    /// The input exceeds the model's context, or the request alone exceeds a minute's token quota. Waiting does not help.
    TooLong,
    /// A content filter or a usage policy rejected the input or the answer.
    Refused,
    /// The API key's quota or credit is exhausted; waiting does not help.
    QuotaExhausted,
    /// The credit of the API key does not suffice for this call: for its prompt, or for as many output tokens as it may have. A smaller one
    /// may succeed.
    Unaffordable,
    /// The API key is invalid.
    InvalidKey,
    /// The model does not exist, or the API key may not use it.
    UnknownModel,
    /// Too many requests or tokens for now.
    RateLimited,
    /// The provider has no capacity for now.
    Overloaded,
    /// The provider failed.
    ServerError,
}

use ErrorClass::{
    InvalidGeneration, InvalidKey, Overloaded, QuotaExhausted, RateLimited, Refused, ServerError,
    TooLong, Unaffordable, UnknownModel,
};

/// Part of an error that a row matches.
#[derive(Debug, Clone, Copy)]
enum Match {
    /// One of the error's codes or types, in any case.
    Code(&'static str),
    /// Words of the message, in lower case; see [`contains_phrase`].
    Words(&'static str),
    /// Quota of a day: exhausted, unless the words say that the wait is short.
    Day(&'static str),
}
use Match::{Code, Day, Words};

/// Pattern, meaning, and source.
struct Row(
    Match,
    ErrorClass,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for readers, and checked by a test")
    )]
    &'static str,
);

const OPENAI: &str = "https://platform.openai.com/docs/guides/error-codes";
const AZURE: &str = "https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter";
const ANTHROPIC: &str = "https://platform.claude.com/docs/en/api/errors";
const GEMINI: &str = "https://ai.google.dev/gemini-api/docs/troubleshooting";
const GROQ: &str = "https://console.groq.com/docs/errors";
const OPENROUTER: &str = "https://openrouter.ai/docs/api-reference/errors";
const LITELLM: &str = "https://docs.litellm.ai/docs/exception_mapping";
const BEDROCK: &str = "https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html";
const DEEPSEEK: &str = "https://api-docs.deepseek.com/quick_start/error_codes";
const DASHSCOPE: &str = "https://help.aliyun.com/zh/model-studio/error-code";
const MOONSHOT: &str = "https://platform.moonshot.ai/docs/api/chat#error-information";
const MINIMAX: &str = "https://platform.minimaxi.com/document/error-code";
const ZHIPU: &str = "https://docs.bigmodel.cn/cn/api/api-code";
const MISTRAL: &str = "https://docs.mistral.ai/api";
const OLLAMA: &str = "https://github.com/ollama/ollama/blob/main/server/routes.go";
const LLAMA_CPP: &str = "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/server.cpp";
const VLLM: &str = "https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai";
const XAI: &str = "https://docs.x.ai/docs/key-information/debugging";
const ONE_API: &str = "https://github.com/QuantumNous/new-api";
const VERTEX: &str =
    "https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/api-errors";
const LM_STUDIO: &str = "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues";
const VOLCENGINE: &str = "https://www.volcengine.com/docs/82379/1299023";

/// The table, read 2026-11. Numeric codes are unique to their vendor.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row(Code("json_validate_failed"), InvalidGeneration, GROQ),
    Row(Code("tool_use_failed"), InvalidGeneration, GROQ),
    Row(Code("output_parse_failed"), InvalidGeneration, GROQ),

    Row(Code("context_length_exceeded"), TooLong, OPENAI),
    Row(Code("string_above_max_length"), TooLong, OPENAI),
    Row(Code("exceed_context_size_error"), TooLong, LLAMA_CPP),
    Row(Code("ContextWindowExceededError"), TooLong, LITELLM),
    Row(Code("context_window_exceeded"), TooLong, LITELLM),
    Row(Code("model_max_prompt_tokens_exceeded"), TooLong, AZURE),
    Row(Code("request_too_large"), TooLong, ANTHROPIC),
    Row(Code("1261"), TooLong, ZHIPU),
    Row(Code("1039"), TooLong, MINIMAX),
    Row(Words("maximum context length"), TooLong, OPENAI),
    Row(Words("context length exceeded"), TooLong, OPENAI),
    Row(Words("exceeds the context length"), TooLong, OLLAMA),
    Row(Words("exceed context limit"), TooLong, ANTHROPIC),
    Row(Words("exceeds the available context size"), TooLong, LLAMA_CPP),
    Row(Words("context window"), TooLong, ANTHROPIC),
    Row(Words("context size … exceed"), TooLong, LLAMA_CPP),
    Row(Words("prompt is too long"), TooLong, ANTHROPIC),
    Row(Words("prompt too long"), TooLong, OLLAMA),
    Row(Words("prompt contains … too large for model"), TooLong, MISTRAL),
    Row(Words("input is too long"), TooLong, BEDROCK),
    Row(Words("input too long"), TooLong, BEDROCK),
    Row(Words("too many input tokens"), TooLong, BEDROCK),
    Row(Words("input token count … exceeds"), TooLong, GEMINI),
    Row(Words("input tokens … exceed"), TooLong, VLLM),
    Row(Words("input length … exceeds"), TooLong, OLLAMA),
    Row(Words("exceeds the maximum number of tokens"), TooLong, GEMINI),
    Row(Words("exceeds the maximum number of input tokens"), TooLong, GEMINI),
    Row(Words("longer than the model's context length"), TooLong, VLLM),
    Row(Words("longer than the maximum model length"), TooLong, VLLM),
    Row(Words("exceeds the model's maximum"), TooLong, VLLM),
    Row(Words("`inputs` tokens + `max_new_tokens` must be"), TooLong, "https://github.com/huggingface/text-generation-inference"),
    Row(Words("reduce the length of"), TooLong, OPENAI),
    Row(Words("range of input length should be"), TooLong, DASHSCOPE),
    Row(Words("request too large for"), TooLong, OPENAI),
    Row(Words("request entity too large"), TooLong, "RFC 9110 section 15.5.14"),
    Row(Words("maximum prompt length"), TooLong, XAI),
    Row(Words("token count … exceeds"), TooLong, VERTEX),
    Row(Words("too many total text bytes"), TooLong, BEDROCK),
    Row(Words("total number of tokens … cannot exceed"), TooLong, "https://docs.cohere.com/reference/errors"),
    Row(Words("prompt exceeds max length"), TooLong, ZHIPU),
    Row(Words("context the overflows"), TooLong, LM_STUDIO),
    Row(Words("context length of only"), TooLong, LM_STUDIO),
    Row(Words("context overflow"), TooLong, LM_STUDIO),

    Row(Code("invalid_prompt"), Refused, OPENAI),
    Row(Code("cyber_policy"), Refused, OPENAI),
    Row(Code("content_policy_violation"), Refused, OPENAI),
    Row(Code("ContentPolicyViolationError"), Refused, LITELLM),
    Row(Code("safety_violation"), Refused, OPENAI),
    Row(Code("moderation_blocked"), Refused, OPENAI),
    Row(Code("content_filter"), Refused, AZURE),
    Row(Code("ResponsibleAIPolicyViolation"), Refused, AZURE),
    Row(Code("moderation"), Refused, OPENROUTER),
    Row(Code("data_inspection_failed"), Refused, DASHSCOPE),
    Row(Code("DataInspectionFailed"), Refused, DASHSCOPE),
    Row(Code("SensitiveContentDetected"), Refused, VOLCENGINE),
    Row(Code("InputTextSensitiveContentDetected"), Refused, VOLCENGINE),
    Row(Code("OutputTextSensitiveContentDetected"), Refused, VOLCENGINE),
    Row(Code("1301"), Refused, ZHIPU),
    Row(Code("1026"), Refused, MINIMAX),
    Row(Code("1027"), Refused, MINIMAX),
    Row(Words("content exists risk"), Refused, DEEPSEEK),
    Row(Words("inappropriate content"), Refused, DASHSCOPE),
    Row(Words("content management policy"), Refused, AZURE),
    Row(Words("usage guidelines"), Refused, XAI),
    Row(Words("violating our usage policy"), Refused, OPENAI),
    Row(Words("violates our usage policies"), Refused, OPENAI),
    Row(Words("content violates"), Refused, XAI),
    Row(Words("violates … safety"), Refused, XAI),
    Row(Words("failed … safety check"), Refused, XAI),
    Row(Words("content policy"), Refused, OPENAI),
    Row(Words("flagged for"), Refused, OPENROUTER),
    Row(Words("flagged as potentially violating"), Refused, OPENAI),
    Row(Words("flagged by our safety"), Refused, OPENAI),
    Row(Words("safety system"), Refused, OPENAI),
    Row(Words("considered high risk"), Refused, MOONSHOT),
    Row(Words("blocked by … content filter"), Refused, ANTHROPIC),
    Row(Words("blocked by content filtering policy"), Refused, ANTHROPIC),
    Row(Words("不安全或敏感内容"), Refused, ZHIPU),
    Row(Words("敏感词"), Refused, ONE_API),
    Row(Words("sensitive words detected"), Refused, ONE_API),
    Row(Words("guardrail policy"), Refused, LITELLM),
    Row(Words("content moderation"), Refused, OPENROUTER),
    Row(Words("flagged by moderation"), Refused, OPENROUTER),

    Row(Code("insufficient_quota"), QuotaExhausted, OPENAI),
    Row(Code("billing_hard_limit_reached"), QuotaExhausted, OPENAI),
    Row(Code("billing_not_active"), QuotaExhausted, OPENAI),
    Row(Code("billing_error"), QuotaExhausted, ANTHROPIC),
    Row(Code("exceeded_current_quota_error"), QuotaExhausted, MOONSHOT),
    Row(Code("insufficient_balance_error"), QuotaExhausted, MINIMAX),
    Row(Code("insufficient_user_quota"), QuotaExhausted, ONE_API),
    Row(Code("pre_consume_token_quota_failed"), QuotaExhausted, ONE_API),
    Row(Code("budget_exceeded"), QuotaExhausted, LITELLM),
    Row(Code("BudgetExceededError"), QuotaExhausted, LITELLM),
    Row(Code("Arrearage"), QuotaExhausted, DASHSCOPE),
    Row(Code("AccountOverdueError"), QuotaExhausted, VOLCENGINE),
    Row(Code("1008"), QuotaExhausted, MINIMAX),
    Row(Code("1113"), QuotaExhausted, ZHIPU),
    Row(Words("insufficient balance"), QuotaExhausted, DEEPSEEK),
    Row(Words("insufficient credits"), QuotaExhausted, OPENROUTER),
    Row(Words("fewer max_tokens"), Unaffordable, OPENROUTER),
    Row(Words("can only afford"), Unaffordable, OPENROUTER),
    Row(Words("prompt tokens limit exceeded"), Unaffordable, OPENROUTER),
    Row(Words("requires more credits"), QuotaExhausted, OPENROUTER),
    Row(Words("credit balance is too low"), QuotaExhausted, ANTHROPIC),
    Row(Words("credit balance"), QuotaExhausted, ANTHROPIC),
    Row(Words("run out of credits"), QuotaExhausted, XAI),
    Row(Words("out of credits"), QuotaExhausted, XAI),
    Row(Words("used all available credits"), QuotaExhausted, XAI),
    Row(Words("spending limit"), QuotaExhausted, XAI),
    Row(Words("billing hard limit"), QuotaExhausted, OPENAI),
    Row(Words("recharge"), QuotaExhausted, MOONSHOT),
    Row(Words("included credits"), QuotaExhausted, "https://huggingface.co/docs/inference-providers/pricing"),
    Row(Words("insufficient funds"), QuotaExhausted, XAI),
    Row(Words("not enough credits"), QuotaExhausted, OPENROUTER),
    Row(Words("out of credit"), QuotaExhausted, OPENROUTER),
    Row(Words("overdue balance"), QuotaExhausted, VOLCENGINE),
    Row(Words("monthly usage limit"), QuotaExhausted, ANTHROPIC),
    Row(Words("reached your specified api usage limits"), QuotaExhausted, ANTHROPIC),
    Row(Words("余额不足"), QuotaExhausted, ZHIPU),
    Row(Words("欠费"), QuotaExhausted, ZHIPU),
    Row(Day("PerDay"), QuotaExhausted, GEMINI),
    Row(Day("per day"), QuotaExhausted, GROQ),
    Row(Day("per_day"), QuotaExhausted, GEMINI),
    Row(Day("per-day"), QuotaExhausted, OPENROUTER),
    Row(Day("daily"), QuotaExhausted, OPENROUTER),
    Row(Code("RESOURCE_EXHAUSTED"), RateLimited, GEMINI),
    Row(Words("exceeded your current quota"), QuotaExhausted, OPENAI),
    Row(Words("plan and billing"), QuotaExhausted, OPENAI),

    Row(Code("invalid_api_key"), InvalidKey, OPENAI),
    Row(Code("API_KEY_INVALID"), InvalidKey, GEMINI),
    Row(Code("authentication_error"), InvalidKey, ANTHROPIC),
    Row(Code("invalid_authentication_error"), InvalidKey, MOONSHOT),
    Row(Code("UnrecognizedClientException"), InvalidKey, BEDROCK),
    Row(Code("1004"), InvalidKey, MINIMAX),
    Row(Words("incorrect api key"), InvalidKey, OPENAI),
    Row(Words("invalid api key"), InvalidKey, GROQ),
    Row(Words("api key not valid"), InvalidKey, GEMINI),
    Row(Words("api key expired"), InvalidKey, GEMINI),

    Row(Code("model_not_found"), UnknownModel, OPENAI),
    Row(Code("invalid_model"), UnknownModel, MISTRAL),
    Row(Code("DeploymentNotFound"), UnknownModel, AZURE),
    Row(Code("not_found_error"), UnknownModel, ANTHROPIC),
    Row(Words("model … not found"), UnknownModel, OLLAMA),
    Row(Words("models/ … is not found"), UnknownModel, GEMINI),
    Row(Words("model … does not exist"), UnknownModel, VLLM),
    Row(Words("model not exist"), UnknownModel, DEEPSEEK),
    Row(Words("not a valid model"), UnknownModel, OPENROUTER),
    Row(Code("model_decommissioned"), UnknownModel, GROQ),
    Row(Words("invalid model name passed in"), UnknownModel, LITELLM),
    Row(Words("invalid model name"), UnknownModel, LITELLM),
    Row(Words("invalid model:"), UnknownModel, MISTRAL),
    Row(Words("model identifier is invalid"), UnknownModel, BEDROCK),
    Row(Words("access to the model"), UnknownModel, BEDROCK),
    Row(Words("no endpoints found for"), UnknownModel, OPENROUTER),
    Row(Words("no such model"), UnknownModel, ONE_API),
    Row(Words("unknown model"), UnknownModel, MINIMAX),

    Row(Code("rate_limit_exceeded"), RateLimited, OPENAI),
    Row(Code("rate_limit_error"), RateLimited, ANTHROPIC),
    Row(Code("rate_limit_reached_error"), RateLimited, MOONSHOT),
    Row(Code("ThrottlingException"), RateLimited, BEDROCK),
    Row(Code("RateLimitError"), RateLimited, LITELLM),
    Row(Code("1302"), RateLimited, ZHIPU),
    Row(Code("1002"), RateLimited, MINIMAX),
    Row(Words("rate limit"), RateLimited, OPENROUTER),
    Row(Words("too many requests"), RateLimited, BEDROCK),

    Row(Code("overloaded_error"), Overloaded, ANTHROPIC),
    Row(Code("engine_overloaded_error"), Overloaded, MOONSHOT),
    Row(Code("UNAVAILABLE"), Overloaded, GEMINI),
    Row(Code("ServiceUnavailableException"), Overloaded, BEDROCK),
    Row(Code("ModelNotReadyException"), Overloaded, BEDROCK),
    Row(Code("1305"), Overloaded, ZHIPU),
    Row(Words("overloaded"), Overloaded, OPENAI),
    Row(Words("over capacity"), Overloaded, GROQ),

    Row(Code("server_error"), ServerError, OPENAI),
    Row(Code("internal_error"), ServerError, OPENAI),
    Row(Code("api_error"), ServerError, ANTHROPIC),
    Row(Code("InternalServerException"), ServerError, BEDROCK),
];

/// Returns the class of an error. `status` is the HTTP status; 200 for an error within an answer.
pub fn classify(error: &UpstreamErrorBody, own_words: &OwnWords, status: u16) -> ErrorClass {
    let own = &own_words.text;
    let matches = |row: &&Row| {
        let Row(pattern, class, _) = row;
        let has_words = |words: &str| {
            contains_phrase(own, words)
                && (!concerns_others(*class)
                    || !is_about_request(status)
                    || is_sentence(own, words))
        };
        match pattern {
            Code(code) => {
                fits_status(*class, status, true)
                    && has_code(error, own_words, code, *class, status)
            }
            Words(words) if status == 429 && *class == TooLong => {
                *words == TOO_LARGE_FOR_A_MINUTE && has_words(words)
            }
            Words(words) => fits_status(*class, status, false) && has_words(words),
            Day(words) => {
                matches!(status, 200 | 403 | 429)
                    && (error.codes.iter().any(|code| code.contains(words))
                        // A caller whose texts have the wait does not remove it here.
                        || has_words(words) && wait_in_words(&error.message).is_none())
            }
        }
    };
    match TABLE.iter().find(matches) {
        Some(Row(_, class, _)) => *class,
        // Unavailable for legal reasons: StepFun's status of a refused text.
        None if status == 451 => Refused,
        None => ErrorClass::Status,
    }
}

/// Words of a rate limit that a single request exceeds. Other rate limits are only for now, though they too speak of tokens.
const TOO_LARGE_FOR_A_MINUTE: &str = "request too large for";

/// Returns true for a class from which it follows that calls of others fail, or have to wait, too.
const fn concerns_others(class: ErrorClass) -> bool {
    matches!(
        class,
        QuotaExhausted | Unaffordable | InvalidKey | UnknownModel | RateLimited
    )
}

/// Returns true for a status of errors about the request itself, whose messages repeat what a caller wrote. `status` is as for
/// [`classify`].
pub const fn is_about_request(status: u16) -> bool {
    matches!(status, 200 | 400 | 413 | 422)
}

/// Returns true if words are a sentence that only the server can have written: so many that a part of them would be recognised as a
/// repetition even if the server had cut the text that it repeats, or fewer at the beginning of the message.
///
/// Servers that report a refused key, a used-up balance or an unknown model with status 400 and nothing but words: Anthropic ("Your
/// credit balance is too low …"), xAI ("Incorrect API key provided: …"), LiteLLM ("Invalid model name passed in …"), OpenRouter ("… is
/// not a valid model ID"), Bedrock ("The provided model identifier is invalid") and DeepSeek ("Model Not Exist"), read 2026-11.
fn is_sentence(own_words: &str, phrase: &str) -> bool {
    if phrase.contains('…') {
        return false;
    }
    match words(phrase).count() {
        0..3 => false,
        3 => begins_with_phrase(own_words, phrase),
        4.. => true,
    }
}

/// Returns true if an error has a code. Of a class that concerns others, a code that a message quotes counts only if the message
/// repeats nothing of the request, and one that merely stands in the message only if the error is not about the request.
fn has_code(
    error: &UpstreamErrorBody,
    own_words: &OwnWords,
    code: &str,
    class: ErrorClass,
    status: u16,
) -> bool {
    let is_code = |known: &String| known.eq_ignore_ascii_case(code);
    if error.codes.iter().any(is_code) {
        return true;
    }
    if error.quoted_codes.iter().any(is_code) && (!concerns_others(class) || !own_words.has_echo) {
        return true;
    }
    // Gateways repeat the code in their message; numbers and plain words may stand there for other reasons.
    let is_camel_case = code.contains(|c: char| c.is_ascii_lowercase())
        && code.chars().skip(1).any(|c| c.is_ascii_uppercase());
    let is_distinct = code.contains('_') || is_camel_case;
    is_distinct
        && !(concerns_others(class) && is_about_request(status))
        && contains_phrase(&own_words.text, &code.to_ascii_lowercase())
}

/// Returns true if an error of the class may have this status. Words alone prove less than a code.
const fn fits_status(class: ErrorClass, status: u16, is_code: bool) -> bool {
    match class {
        ErrorClass::Status | InvalidGeneration => true,
        TooLong => !matches!(status, 401..=403),
        Refused => is_code || matches!(status, 200 | 400 | 403 | 404 | 422 | 451),
        QuotaExhausted => is_code || status < 500,
        Unaffordable => matches!(status, 200 | 402),
        InvalidKey => matches!(status, 200 | 400 | 401 | 403),
        UnknownModel => status < 429,
        RateLimited => is_code || matches!(status, 200 | 400 | 403 | 429),
        Overloaded => matches!(status, 200 | 429) || status >= 500 && is_code || status == 500,
        ServerError => status == 200,
    }
}

#[cfg(test)]
mod tests;
