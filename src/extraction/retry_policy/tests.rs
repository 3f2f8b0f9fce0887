use super::*;

const UNANSWERED: Health = Health::Timeout {
    took: Duration::from_secs(40),
};

fn failure(kind: FailureKind, retry_after: Option<Duration>) -> Failure {
    Failure {
        retry_after,
        ..Failure::new(kind, "")
    }
}

#[test]
fn each_failure_has_its_row_in_the_table() {
    let seconds = Some(Duration::from_secs(2));
    let failed = Action::Fail(Code::UpstreamError);
    let other_key = Action::OtherKey(Code::UpstreamUnauthorized);
    let (bad, fine, neutral) = (Health::Failure, Health::Success, Health::Neutral);
    for (status, asked, action, health, is_crowded) in [
        (429, seconds, Action::Pause(seconds), neutral, true),
        (429, None, Action::Pause(None), neutral, true),
        (503, seconds, Action::Pause(seconds), neutral, true),
        (503, None, Action::Retry, neutral, true),
        (529, None, Action::Retry, neutral, true),
        (408, None, Action::Retry, neutral, false),
        (409, None, Action::Retry, neutral, false),
        (500, seconds, Action::Retry, bad, false),
        (502, None, Action::Retry, bad, false),
        (504, None, Action::Retry, bad, false),
        (522, None, Action::Retry, bad, false),
        (401, None, other_key, neutral, false),
        (403, None, other_key, neutral, false),
        (301, None, failed, fine, false),
        (400, None, failed, fine, false),
        (404, seconds, failed, fine, false),
        (413, None, failed, fine, false),
        (422, None, failed, fine, false),
        (501, None, failed, neutral, false),
    ] {
        let row = consequence(&failure(FailureKind::Status(status), asked), UNANSWERED);
        let expected = Consequence {
            action,
            health,
            is_crowded,
            may_be_charged: false,
            outage: match status {
                401 => Some(OutageReason::KeyRefused),
                403 => Some(OutageReason::AccessDenied),
                404 => Some(OutageReason::NotFound),
                _ => None,
            },
        };
        assert_eq!(row, expected, "{status}");
    }
    for (kind, action, health, is_crowded, may_be_charged) in [
        (FailureKind::Connect, Action::Retry, bad, false, false),
        (FailureKind::Broken, Action::Retry, bad, false, true),
        (FailureKind::Timeout, Action::Retry, UNANSWERED, true, true),
        (
            FailureKind::Exhausted,
            Action::OtherKey(Code::UpstreamRateLimited),
            neutral,
            false,
            false,
        ),
    ] {
        let outage = (kind == FailureKind::Exhausted).then_some(OutageReason::QuotaExhausted);
        let expected = Consequence {
            action,
            health,
            is_crowded,
            may_be_charged,
            outage,
        };
        assert_eq!(
            consequence(&failure(kind, None), UNANSWERED),
            expected,
            "{kind:?}"
        );
    }
}

#[test]
fn the_should_retry_header_overrides_the_table() {
    let action = |kind, should_retry| {
        consequence(
            &Failure {
                should_retry: Some(should_retry),
                ..Failure::new(kind, "")
            },
            UNANSWERED,
        )
        .action
    };
    assert_eq!(action(FailureKind::Status(400), true), Action::Retry);
    assert_eq!(
        action(FailureKind::Status(500), false),
        Action::Fail(Code::UpstreamError)
    );
    assert_eq!(action(FailureKind::Status(429), true), Action::Pause(None));
}

#[test]
fn only_the_servers_own_patience_is_evidence_of_a_missing_answer() {
    let seconds = Duration::from_secs;
    for (took, configured, is_evidence) in [
        (seconds(29), None, false),
        (seconds(30), None, true),
        (seconds(1), Some(seconds(2)), false),
        (seconds(2), Some(seconds(2)), true),
        (seconds(40), Some(seconds(60)), false),
    ] {
        let health = health_of_timeout(took, configured);
        assert_eq!(
            health != Health::Neutral,
            is_evidence,
            "{took:?}, {configured:?}"
        );
    }
}
