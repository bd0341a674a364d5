//! `orion token`: Ed25519 key pairs, and tokens that they sign. Users cannot do that by hand. What is in a token,
//! and how it is checked, stands in `auth`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::auth::{Claims, Right, SigningKey};

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
        /// It allows the admin API too.
        #[arg(long)]
        admin: bool,
        /// How long it is good, such as 90s, 15m, 12h or 30d; "never" for ever.
        #[arg(long, short, default_value = "30d", value_parser = parse_lifetime)]
        expires: Lifetime,
    },
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Access {
    /// Read.
    Ro,
    /// Read and write.
    Rw,
}

impl From<Access> for Right {
    fn from(access: Access) -> Right {
        match access {
            Access::Ro => Right::Ro,
            Access::Rw => Right::Rw,
        }
    }
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
    let number = text[..text.len() - 1].parse::<u32>();
    let number = number.map_err(|_| "must begin with a whole number of at most ten digits".to_owned())?;
    Ok(Lifetime(Some(Duration::from_secs(u64::from(number) * unit))))
}

/// Makes keys or a token.
pub(super) fn run(options: &Options, out: &mut impl Write) -> anyhow::Result<()> {
    match &options.command {
        Command::Keys { prefix } => make_keys(prefix, out),
        Command::Create {
            key,
            database,
            access,
            admin,
            expires,
        } => {
            let key = read_key(key)?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let claims = Claims {
                id: database.clone(),
                a: Some((*access).into()),
                admin: *admin,
                exp: expires.0.map(|lifetime| (now + lifetime).as_secs() as f64),
                ..Claims::default()
            };
            writeln!(out, "{}", claims.sign(&key)?)?;
            Ok(())
        }
    }
}

fn make_keys(prefix: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let key = SigningKey::generate()?;
    let (private, public) = (suffixed(prefix, ".key"), suffixed(prefix, ".pub"));
    write_new(&private, &key.to_pem(), 0o600)?;
    write_new(&public, &key.public().to_pem(), 0o644)?;
    writeln!(out, "{}\n{}", private.display(), public.display())?;
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

fn read_key(path: &Path) -> anyhow::Result<SigningKey> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the key {path:?}; `orion token keys` makes one"))?;
    SigningKey::parse(&text).with_context(|| format!("{path:?} cannot be used"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{PublicKey, Verifier};
    use crate::database::Access as Allowed;
    use orion_api::DatabaseId;

    #[test]
    fn a_token_is_accepted_by_who_has_the_public_key_until_it_is_over() {
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
            admin: false,
            expires: parse_lifetime("1h").expect("valid"),
        };
        let mut out = Vec::new();
        run(&Options { command }, &mut out).expect("signed");
        let token = String::from_utf8(out).expect("ASCII");
        let public = std::fs::read_to_string(suffixed(&prefix, ".pub")).expect("there");
        let verifier = Verifier {
            keys: vec![PublicKey::parse(&public).expect("a key")],
            tokens: Vec::new(),
        };
        let now = SystemTime::now();
        let grant = verifier.verify(token.trim(), now).expect("accepted");
        assert_eq!(grant.access(DatabaseId::random(), "appdb"), Ok(Allowed::Read));
        assert!(grant.access(DatabaseId::random(), "other").is_err() && grant.admin().is_err());
        assert!(
            verifier
                .verify(token.trim(), now + Duration::from_secs(7200))
                .is_err()
        );
    }

    #[test]
    fn lifetimes_are_read_or_refused() {
        assert_eq!(
            parse_lifetime("2d"),
            Ok(Lifetime(Some(Duration::from_secs(172_800))))
        );
        assert_eq!(parse_lifetime("never"), Ok(Lifetime(None)));
        for wrong in ["", "5", "d", "1y", "-1d", "99999999999d", "1é"] {
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
