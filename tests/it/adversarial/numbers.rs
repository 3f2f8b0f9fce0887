//! Numbers beyond a double, beyond 64 bits and beyond their fields, in bodies, queries and schemas.

use serde_json::json;

use super::{BATCH, NDJSON, Siege};
use crate::support::client::check_pointer;
use crate::support::fixture::{encoded, person, schema, schema_query};
use crate::upstream::Reply;

const MIB: u64 = 48;

#[tokio::test]
async fn extreme_numbers_in_request_fields_are_rejected_with_their_pointer() {
    let siege = Siege::begin().await;
    let digits = "9".repeat(100_000);
    let beyond = ["1e400", "-1e400", "1e99999999999999999999", &digits];
    let large = [
        "1000000000000000000000000000000",
        "-1000000000000000000000000000000",
        "18446744073709551616",
        "1e30",
    ];
    let odd = ["1.5", "1e-400", "-0.0", "0.1e1"];
    for (field, wrong) in [
        ("seed", [&beyond[..], &large, &odd, &["-0"]].concat()),
        (
            "max_attempts",
            [
                &beyond[..],
                &large,
                &odd,
                &["-0", "0", "11", "-1", "4294967297"],
            ]
            .concat(),
        ),
        (
            "timeout_ms",
            [
                &beyond[..],
                &large,
                &odd,
                &["-0", "0", "3600001", "18446744073709551615"],
            ]
            .concat(),
        ),
        (
            "max_output_tokens",
            [&beyond[..], &large, &odd, &["-0", "0", "4294967296"]].concat(),
        ),
        (
            "temperature",
            [
                &beyond[..],
                &large,
                &["-1e-300", "2.0000000000000004", "1e308"],
            ]
            .concat(),
        ),
        ("metadata", [&beyond[..], &large, &["0"]].concat()),
        ("input", [&beyond[..], &large, &["0"]].concat()),
    ] {
        for number in wrong {
            let what = format!("{field}: {}", &number[..number.len().min(40)]);
            let body = match field {
                "input" => format!("{{\"input\": {number}, \"schema\": {}}}", schema()),
                _ => format!(
                    "{{\"input\": \"Ada\", \"schema\": {}, \"{field}\": {number}}}",
                    schema()
                ),
            };
            let problem = siege
                .refused(&what, MIB, siege.single(body), 422, "invalid_request")
                .await;
            check_pointer(&problem, &format!("/{field}"));
            if !matches!(field, "metadata" | "input") {
                let query = format!(
                    "{BATCH}?{}&{field}={}",
                    schema_query(),
                    encoded(&number[..number.len().min(1000)])
                );
                let problem = siege
                    .refused(
                        &what,
                        MIB,
                        siege.post(&query, NDJSON, "\"Ada\"\n"),
                        422,
                        "invalid_request",
                    )
                    .await;
                check_pointer(&problem, &format!("/{field}"));
            }
        }
    }
    for (field, number) in [
        ("concurrency", "1e400"),
        ("concurrency", "1e30"),
        ("concurrency", "-0"),
        ("concurrency", "0"),
    ] {
        let body = format!(
            "{{\"inputs\": [\"Ada\"], \"schema\": {}, \"{field}\": {number}}}",
            schema()
        );
        let problem = siege
            .refused(
                number,
                MIB,
                siege.post(BATCH, super::JSON, body),
                422,
                "invalid_request",
            )
            .await;
        check_pointer(&problem, "/concurrency");
    }
    assert_eq!(siege.calls(), 0);
}

#[tokio::test]
async fn numbers_at_the_limits_of_their_fields_are_accepted() {
    let siege = Siege::begin().await;
    for (field, number) in [
        ("seed", "9223372036854775807"),
        ("seed", "-9223372036854775808"),
        ("temperature", "-0"),
        ("temperature", "2"),
        ("temperature", "5e-324"),
        ("max_output_tokens", "4294967295"),
        ("timeout_ms", "3600000"),
    ] {
        let body = format!(
            "{{\"input\": \"{}\", \"schema\": {}, \"{field}\": {number}}}",
            person(1),
            schema()
        );
        siege
            .attack(
                &format!("{field}: {number}"),
                MIB,
                siege.single(body).answer(),
            )
            .await
            .ok();
    }
    let sent = siege.upstream.log().calls[1].body();
    assert_eq!(sent["seed"], i64::MAX, "to the last digit");
    let body =
        json!({"inputs": [person(1)], "schema": schema(), "concurrency": u64::MAX}).to_string();
    siege
        .attack(
            "concurrency",
            MIB,
            siege.post(BATCH, super::JSON, body).answer(),
        )
        .await
        .ok();
}

#[tokio::test]
async fn extreme_numbers_in_schemas_are_handled() {
    let siege = Siege::answering(|_| Reply::Json(json!({"n": 7}))).await;
    let keywords = [
        "maximum",
        "minimum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "multipleOf",
        "const",
        "default",
    ];
    for keyword in keywords {
        for number in ["1e400", "-1e400"] {
            let schema = format!("{{\"properties\": {{\"n\": {{\"{keyword}\": {number}}}}}}}");
            let problem = siege
                .refused(
                    &schema,
                    MIB,
                    siege.with_schema(&schema),
                    422,
                    "invalid_schema",
                )
                .await;
            check_pointer(&problem, &format!("/schema/properties/n/{keyword}"));
            let problem = siege
                .refused(
                    &schema,
                    MIB,
                    siege.put("n", schema.clone()),
                    422,
                    "invalid_schema",
                )
                .await;
            check_pointer(&problem, &format!("/properties/n/{keyword}"));
        }
    }
    for (keyword, number) in [
        ("multipleOf", "0"),
        ("multipleOf", "-0"),
        ("multipleOf", "-1"),
        ("multipleOf", "1e-400"),
        ("minLength", "-1"),
        ("maxItems", "1.5"),
        ("minProperties", "-1e30"),
    ] {
        let schema = format!("{{\"properties\": {{\"n\": {{\"{keyword}\": {number}}}}}}}");
        let problem = siege
            .refused(
                &schema,
                MIB,
                siege.with_schema(&schema),
                422,
                "invalid_schema",
            )
            .await;
        check_pointer(&problem, &format!("/schema/properties/n/{keyword}"));
    }
    // What they mean is what they say, for the 7 that is answered; the rest is refused as a schema or as an answer.
    for (keyword, number, holds) in [
        ("maximum", "1000000000000000000000000000000", true),
        ("maximum", "1e308", true),
        ("maximum", "-0", false),
        ("minimum", "-1000000000000000000000000000000", true),
        ("minimum", "18446744073709551616", false),
        ("multipleOf", "5e-324", true),
        ("multipleOf", "1e-300", true),
        ("multipleOf", "1e308", false),
        ("multipleOf", "7", true),
        ("multipleOf", "0.1", true),
        ("minLength", "18446744073709551615", true),
        ("maxItems", "1e30", true),
        ("const", "7.0", true),
        ("const", "7.000000000000000000000000000001", true),
    ] {
        let schema = format!(
            "{{\"type\": \"object\", \"properties\": {{\"n\": {{\"{keyword}\": {number}}}}}}}"
        );
        let body = format!(
            "{{\"input\": \"Ada\", \"schema\": {schema}, \"max_attempts\": 1, \"mode\": \"tools\"}}"
        );
        let answer = siege
            .attack(&schema, MIB, siege.single(body).answer())
            .await;
        match holds {
            true => assert_eq!(answer.ok()["data"], json!({"n": 7}), "{schema}"),
            false => _ = answer.problem(502, "extraction_failed"),
        }
    }
}
