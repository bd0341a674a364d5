//! What a reply means for the count: done, certainly not done, or not known. An error is never an operation,
//! also when it comes inside a 200, as errors of statements do.

use memchr::memmem::find;
use serde::Deserialize;

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Acknowledged in full.
    Done,
    /// Certainly not applied.
    Refused(String),
    /// May or may not have been applied.
    Unknown(String),
}

/// What is expected of a good reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A Hrana pipeline with this many results, all of them good.
    Results(u32),
    /// Any 2xx.
    Success,
}

impl Expect {
    /// Judges a reply. The usual good one is recognised without parsing: inside a JSON string every quote is
    /// escaped, so `"error"` and `"message"` with bare quotes can only be keys or values of the protocol.
    pub(crate) fn judge(self, code: u16, body: &[u8]) -> Outcome {
        if !(200..300).contains(&code) {
            return transport_error(code, body);
        }
        let Expect::Results(count) = self else {
            return Outcome::Done;
        };
        let is_clean = find(body, b"\"error\"").is_none() && find(body, b"\"message\"").is_none();
        if is_clean && count_of(body, b"\"type\":\"ok\"") == count as usize {
            return Outcome::Done;
        }
        judge_slowly(body, count as usize)
    }
}

fn count_of(body: &[u8], needle: &[u8]) -> usize {
    memchr::memmem::find_iter(body, needle).count()
}

#[derive(Deserialize)]
struct Pipeline {
    results: Vec<PipelineResult>,
}

#[derive(Deserialize)]
struct PipelineResult {
    #[serde(rename = "type")]
    kind: String,
    error: Option<Failure>,
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Response {
    result: Option<BatchResult>,
}

#[derive(Deserialize)]
struct BatchResult {
    #[serde(default)]
    step_errors: Vec<Option<Failure>>,
}

#[derive(Deserialize)]
struct Failure {
    code: Option<String>,
}

impl Failure {
    fn into_outcome(self) -> Outcome {
        let code = self.code.unwrap_or_else(|| "NO_CODE".into());
        if code == "ORION_COMMIT_UNKNOWN" {
            Outcome::Unknown(code)
        } else {
            Outcome::Refused(code)
        }
    }
}

fn judge_slowly(body: &[u8], count: usize) -> Outcome {
    let Ok(pipeline) = serde_json::from_slice::<Pipeline>(body) else {
        return Outcome::Unknown("MALFORMED_REPLY".into());
    };
    let found = pipeline.results.len();
    for result in pipeline.results {
        if let Some(failure) = result.error {
            return failure.into_outcome();
        }
        if result.kind != "ok" {
            return Outcome::Unknown("MALFORMED_REPLY".into());
        }
        let batch = result.response.and_then(|response| response.result);
        if let Some(failure) = batch.and_then(|batch| batch.step_errors.into_iter().flatten().next()) {
            return failure.into_outcome();
        }
    }
    if found == count {
        Outcome::Done
    } else {
        Outcome::Unknown("MISSING_RESULTS".into())
    }
}

fn transport_error(status: u16, body: &[u8]) -> Outcome {
    let code = serde_json::from_slice::<Failure>(body)
        .ok()
        .and_then(|failure| failure.code);
    match code {
        Some(code) => Failure { code: Some(code) }.into_outcome(),
        // Without a code of ours a proxy may have answered for a server that went on with the work.
        None if status >= 500 || status == 408 => Outcome::Unknown(format!("HTTP_{status}")),
        None => Outcome::Refused(format!("HTTP_{status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"baton":null,"base_url":null,"results":[{"type":"ok","response":{"type":"execute","result":{"cols":[],"rows":[[{"type":"text","value":"\"error\""}]]}}},{"type":"ok","response":{"type":"close"}}]}"#;

    fn judge(code: u16, body: &str) -> Outcome {
        Expect::Results(2).judge(code, body.as_bytes())
    }

    #[test]
    fn a_good_pipeline_is_done_also_with_spaces_and_tricky_text() {
        assert_eq!(judge(200, GOOD), Outcome::Done);
        assert_eq!(judge(200, &GOOD.replace("\":", "\" : ")), Outcome::Done);
    }

    #[test]
    fn errors_inside_a_200_are_errors() {
        let refused = r#"{"results":[{"type":"error","error":{"message":"m","code":"SQLITE_CONSTRAINT"}},{"type":"ok","response":{"type":"close"}}]}"#;
        assert_eq!(judge(200, refused), Outcome::Refused("SQLITE_CONSTRAINT".into()));
        let unknown = refused.replace("SQLITE_CONSTRAINT", "ORION_COMMIT_UNKNOWN");
        assert_eq!(
            judge(200, &unknown),
            Outcome::Unknown("ORION_COMMIT_UNKNOWN".into())
        );
        let step = r#"{"results":[{"type":"ok","response":{"type":"batch","result":{"step_results":[null],"step_errors":[null,{"message":"m","code":"SQLITE_FULL"}]}}},{"type":"ok","response":{"type":"close"}}]}"#;
        assert_eq!(judge(200, step), Outcome::Refused("SQLITE_FULL".into()));
    }

    #[test]
    fn missing_results_and_nonsense_are_unknown() {
        assert_eq!(
            judge(200, r#"{"results":[]}"#),
            Outcome::Unknown("MISSING_RESULTS".into())
        );
        assert_eq!(judge(200, "<html>"), Outcome::Unknown("MALFORMED_REPLY".into()));
    }

    #[test]
    fn transport_errors_keep_their_code() {
        let overloaded = r#"{"error":"wait","code":"ORION_OVERLOADED"}"#;
        assert_eq!(
            judge(503, overloaded),
            Outcome::Refused("ORION_OVERLOADED".into())
        );
        assert_eq!(judge(503, "busy"), Outcome::Unknown("HTTP_503".into()));
        assert_eq!(judge(404, ""), Outcome::Refused("HTTP_404".into()));
        assert_eq!(Expect::Success.judge(201, b""), Outcome::Done);
    }
}
