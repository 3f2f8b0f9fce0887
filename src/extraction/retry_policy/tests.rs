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
            is_doubtful: matches!(status, 403 | 404),
            is_callers_own: false,
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
            is_doubtful: false,
            is_callers_own: false,
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
    for (took, silence, configured, evidence) in [
        (29, None, None, None),
        (30, None, None, Some(30)),
        (1, None, Some(2), None),
        (2, None, Some(2), Some(2)),
        (40, None, Some(60), None),
        // Parts of the answer have arrived.
        (600, Some(0), None, None),
        (600, Some(14), None, None),
        (600, Some(15), None, Some(15)),
        (29, Some(29), None, None),
        (60, Some(30), Some(60), Some(30)),
        (60, Some(29), Some(60), None),
    ] {
        let health =
            health_of_timeout(seconds(took), silence.map(seconds), configured.map(seconds));
        let expected = evidence.map_or(Health::Neutral, |took| Health::Timeout {
            took: seconds(took),
        });
        assert_eq!(health, expected, "{took}, {silence:?}, {configured:?}");
    }
}
