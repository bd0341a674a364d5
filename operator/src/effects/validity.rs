//! Until when a certificate is good: the one thing that is read of it, so no parser of certificates is needed. DER as in
//! X.690, the certificate as in RFC 5280, section 4.1.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::civil::DateTime;
use k8s_openapi::jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When the first of the certificates in a PEM file expires, in seconds of Unix. None where one cannot be read, or none is
/// there.
pub(super) fn expires(pem: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(pem).ok()?;
    let blocks = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    let ends: Option<Vec<i64>> = blocks
        .map(|block| {
            let (body, _) = block.split_once("-----END CERTIFICATE-----")?;
            let body: String = body.split_whitespace().collect();
            not_after(&STANDARD.decode(body).ok()?)
        })
        .collect();
    ends?.into_iter().min()
}

/// `tbsCertificate.validity.notAfter`.
fn not_after(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = of(SEQUENCE, certificate)?;
    let (mut rest, _) = of(SEQUENCE, certificate)?;
    if let Some((_, after)) = of(VERSION, rest) {
        rest = after;
    }
    // serialNumber, signature, issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (validity, _) = of(SEQUENCE, rest)?;
    let (_, _, until) = element(validity)?;
    let (tag, text, _) = element(until)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // Two digits of the year: 50 to 99 are of the last century.
        UTC_TIME if text >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// The content of the first element, if it has this tag, and what follows it.
fn of(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// Tag and content of the first element, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, bytes) = bytes.split_first()?;
    let (first, bytes) = bytes.split_first()?;
    let (length, bytes) = match usize::from(*first) {
        short @ 0..0x80 => (short, bytes),
        long => {
            let (length, bytes) = bytes.split_at_checked(long - 0x80)?;
            let length = length.iter().try_fold(0usize, |length, byte| {
                length.checked_mul(256)?.checked_add(usize::from(*byte))
            })?;
            (length, bytes)
        }
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn until(year: i32) -> String {
        let mut params = CertificateParams::new(vec!["x".to_owned()]).expect("a name");
        params.not_after = date_time_ymd(year, 2, 3);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").pem()
    }

    #[test]
    fn the_first_certificate_that_expires_counts() {
        // 2031-02-03 and 2061-02-03: the one as UTCTime, the other as GeneralizedTime.
        let (soon, later) = (until(2031), until(2061));
        assert_eq!(expires(soon.as_bytes()), Some(1_927_843_200));
        assert_eq!(expires(later.as_bytes()), Some(2_874_614_400));
        assert_eq!(expires(format!("{later}{soon}").as_bytes()), Some(1_927_843_200));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let good = until(2031);
        let cut = good.replace("-----END", "AAAA-----END");
        for text in [
            "",
            "x",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            &cut[..80],
        ] {
            assert_eq!(expires(text.as_bytes()), None, "{text}");
        }
        let der = STANDARD.decode(
            good.lines()
                .filter(|line| !line.starts_with("--"))
                .collect::<String>(),
        );
        let der = der.expect("base 64");
        for end in 0..der.len() {
            // It must not panic, whatever is missing.
            assert_eq!(not_after(&der[..end]), None, "the first {end} bytes");
        }
    }
}
