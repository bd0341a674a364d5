//! Which server is measured: parsed from `--url`, `--database` and `--token`, and turned into the fixed
//! head of each request. Not a general URL type: plain HTTP only, because TLS would be measured with it.

use anyhow::{Context, bail};

/// Width of the padded number in `content-length`, patched in place for each request.
const LENGTH_DIGITS: usize = 10;

/// A server and how to speak to it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// `host:port`, as it is connected to.
    pub(crate) address: String,
    /// Path before `/v2/pipeline`, empty or beginning with `/` and not ending with one.
    prefix: String,
    token: Option<String>,
}

impl Target {
    /// From a URL such as `http://127.0.0.1:8091/appdb` and an optional bearer token.
    pub(crate) fn new(url: &str, token: Option<String>) -> anyhow::Result<Target> {
        let parsed = url::Url::parse(url).with_context(|| format!("{url:?} is not a URL"))?;
        if parsed.scheme() != "http" {
            bail!(
                "orion bench speaks plain http only, {url:?} is {}",
                parsed.scheme()
            );
        }
        let host = parsed
            .host_str()
            .with_context(|| format!("{url:?} names no host"))?;
        let port = parsed.port_or_known_default().unwrap_or(80);
        Ok(Target {
            address: format!("{host}:{port}"),
            prefix: parsed.path().trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// The head of a pipeline request to `database`, or to the URL's own one.
    pub(crate) fn pipeline(&self, database: Option<&str>) -> Head {
        match database {
            Some(name) => self.head("POST", &format!("/{name}/v2/pipeline")),
            None => self.head("POST", &format!("{}/v2/pipeline", self.prefix)),
        }
    }

    /// The head of any request that is answered with JSON.
    pub(crate) fn head(&self, method: &str, path: &str) -> Head {
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n",
            self.address
        );
        if let Some(token) = &self.token {
            text.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        text.push_str("content-length: ");
        let length_at = text.len();
        text.push_str(&" ".repeat(LENGTH_DIGITS));
        text.push_str("\r\n\r\n");
        Head {
            bytes: text.into_bytes(),
            length_at,
        }
    }
}

/// A request's head with a gap for the length of its body.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    length_at: usize,
}

impl Head {
    /// Makes `out` a whole request: this head and what `write_body` appends. White space before a header's
    /// value is allowed (RFC 9112, 5.1), so the length is right-aligned in its gap and nothing moves.
    pub(crate) fn render(&self, out: &mut Vec<u8>, write_body: impl FnOnce(&mut Vec<u8>)) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        write_body(out);
        let mut length = out.len() - self.bytes.len();
        let gap = &mut out[self.length_at..self.length_at + LENGTH_DIGITS];
        for digit in gap.iter_mut().rev() {
            *digit = b'0' + (length % 10) as u8;
            length /= 10;
            if length == 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(target: &Target, database: Option<&str>, body: &str) -> String {
        let mut out = Vec::new();
        target
            .pipeline(database)
            .render(&mut out, |out| out.extend_from_slice(body.as_bytes()));
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn a_request_carries_path_token_and_length() {
        let target = Target::new("http://127.0.0.1:8091/app/", Some("t0ken".into())).expect("valid");
        let text = rendered(&target, None, &"x".repeat(123));
        assert!(text.starts_with("POST /app/v2/pipeline HTTP/1.1\r\nhost: 127.0.0.1:8091\r\n"));
        assert!(text.contains("authorization: Bearer t0ken\r\n"));
        assert!(text.contains("content-length:        123\r\n\r\nxxx"));
        assert!(rendered(&target, Some("b-1"), "").starts_with("POST /b-1/v2/pipeline HTTP/1.1\r\n"));
        assert!(rendered(&target, Some("b-1"), "").contains("content-length:          0\r\n\r\n"));
    }

    #[test]
    fn only_plain_http_is_measured() {
        assert!(Target::new("https://h/", None).is_err());
        assert!(Target::new("nonsense", None).is_err());
    }
}
