//! `orion token`: Ed25519 key pairs, and tokens that they sign. Users cannot do that by hand.
//!
//! A token is a JWT (RFC 7519) with `alg: EdDSA` (RFC 8037). Claims: `id`, the database's name or id, absent for
//! all; `a`, the access (`ro`, `rw`, `roa`); `iat` and `exp`, Unix seconds. The server is given the public key.
//! Keys are PEM: PKCS #8 the private one, SubjectPublicKeyInfo the public one (RFC 8410), as OpenSSL makes them.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;

/// SubjectPublicKeyInfo of an Ed25519 key up to the key's 32 bytes (RFC 8410, 4).
const PUBLIC_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Options of `orion token`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key pair: <prefix>.key signs tokens and stays secret, <prefix>.pub is for the server.
    Keys {
        /// Where to write.
        #[arg(default_value = "orion-token")]
        prefix: PathBuf,
    },
    /// Print a token.
    Create {
        /// The private key.
        #[arg(long, short, default_value = "orion-token.key")]
        key: PathBuf,
        /// Name or id of the database; without it the token is for all.
        #[arg(long, short)]
        database: Option<String>,
        /// What it allows.
        #[arg(long, short, value_enum, default_value_t = Access::Rw)]
        access: Access,
        /// How long it is good, such as 90s, 15m, 12h or 30d; "never" for ever.
        #[arg(long, short, default_value = "30d", value_parser = parse_lifetime)]
        expires: Lifetime,
    },
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Access {
    /// Read.
    Ro,
    /// Read and write.
    Rw,
    /// Read, and attach for reading.
    Roa,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lifetime(Option<Duration>);

fn parse_lifetime(text: &str) -> Result<Lifetime, String> {
    if text == "never" {
        return Ok(Lifetime(None));
    }
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 24 * 3600,
        _ => return Err("must end with s, m, h or d, or be \"never\"".into()),
    };
    let number: u64 = text[..text.len() - 1]
        .parse()
        .map_err(|_| "must begin with a whole number".to_owned())?;
    let seconds = number.checked_mul(unit).filter(|seconds| *seconds < u64::MAX / 4);
    seconds
        .map(|seconds| Lifetime(Some(Duration::from_secs(seconds))))
        .ok_or_else(|| "is too long".into())
}

#[derive(Serialize)]
struct Claims<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    a: Access,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

/// Makes keys or a token.
pub(super) fn run(options: &Options, out: &mut impl Write) -> anyhow::Result<()> {
    match &options.command {
        Command::Keys { prefix } => make_keys(prefix, out),
        Command::Create {
            key,
            database,
            access,
            expires,
        } => {
            let pair = read_key(key)?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let claims = Claims {
                id: database.as_deref(),
                a: *access,
                iat: now.as_secs(),
                exp: expires.0.map(|lifetime| (now + lifetime).as_secs()),
            };
            writeln!(out, "{}", sign(&pair, &claims)?)?;
            Ok(())
        }
    }
}

fn make_keys(prefix: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let pair = Ed25519KeyPair::generate().map_err(|_| anyhow!("cannot make a key"))?;
    let private = pair.to_pkcs8v1().map_err(|_| anyhow!("cannot encode the key"))?;
    let mut public = PUBLIC_PREFIX.to_vec();
    public.extend_from_slice(pair.public_key().as_ref());
    let private_path = suffixed(prefix, ".key");
    let public_path = suffixed(prefix, ".pub");
    write_new(&private_path, &pem("PRIVATE KEY", private.as_ref()), 0o600)?;
    write_new(&public_path, &pem("PUBLIC KEY", &public), 0o644)?;
    writeln!(out, "{}\n{}", private_path.display(), public_path.display())?;
    Ok(())
}

fn suffixed(prefix: &Path, suffix: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Never over a key that is there: tokens out in the world depend on it.
fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {path:?}"))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..(at + 64).min(text.len())])
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

fn read_key(path: &Path) -> anyhow::Result<Ed25519KeyPair> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the key {path:?}; `orion token keys` makes one"))?;
    let body: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .map(str::trim)
        .collect();
    if !text.contains("-----BEGIN PRIVATE KEY-----") {
        bail!("{path:?} is no private key in PEM (PKCS #8)");
    }
    let der = STANDARD
        .decode(body)
        .with_context(|| format!("{path:?} is not base64"))?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
        .map_err(|error| anyhow!("{path:?} is no Ed25519 key: {error}"))
}

fn sign(pair: &Ed25519KeyPair, claims: &Claims<'_>) -> anyhow::Result<String> {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"JWT"}"#);
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
    Ok(format!("{signed}.{signature}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    fn der_of(path: &Path) -> Vec<u8> {
        let text = std::fs::read_to_string(path).expect("there");
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(body).expect("base64")
    }

    #[test]
    fn a_token_verifies_with_the_public_key_of_its_pair() {
        let directory = tempfile::tempdir().expect("a directory");
        let prefix = directory.path().join("k");
        make_keys(&prefix, &mut Vec::new()).expect("made");
        assert!(
            make_keys(&prefix, &mut Vec::new()).is_err(),
            "keys are never replaced"
        );
        let command = Command::Create {
            key: suffixed(&prefix, ".key"),
            database: Some("appdb".into()),
            access: Access::Ro,
            expires: parse_lifetime("1h").expect("valid"),
        };
        let mut out = Vec::new();
        run(&Options { command }, &mut out).expect("signed");
        let token = String::from_utf8(out).expect("ASCII");
        let (signed, signature) = token.trim().rsplit_once('.').expect("three parts");
        let public = der_of(&suffixed(&prefix, ".pub"));
        assert_eq!(public[..12], PUBLIC_PREFIX);
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        UnparsedPublicKey::new(&ED25519, &public[12..])
            .verify(signed.as_bytes(), &signature)
            .expect("verifies");
        let claims = URL_SAFE_NO_PAD
            .decode(signed.split_once('.').expect("two parts").1)
            .expect("base64");
        let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
        assert_eq!(
            (claims["id"].as_str(), claims["a"].as_str()),
            (Some("appdb"), Some("ro"))
        );
        assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|at| at + 3600));
    }

    #[test]
    fn lifetimes_are_read_or_refused() {
        assert_eq!(
            parse_lifetime("2d"),
            Ok(Lifetime(Some(Duration::from_secs(172_800))))
        );
        assert_eq!(parse_lifetime("never"), Ok(Lifetime(None)));
        for wrong in ["", "5", "d", "1y", "99999999999999999999d", "9999999999999999d"] {
            assert!(parse_lifetime(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_missing_key_says_how_to_make_one() {
        let error = read_key(Path::new("/no/such.key"))
            .map(drop)
            .expect_err("missing");
        assert!(format!("{error:#}").contains("orion token keys"));
    }
}
