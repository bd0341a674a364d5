//! Tokens: what each form allows, and that nothing else is taken.

use super::*;
use crate::database::Access;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use orion_api::DatabaseId;
use proptest::prelude::*;
use std::time::Duration;

const ID: DatabaseId = DatabaseId::from_bytes([7; 16]);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn key() -> SigningKey {
    SigningKey::generate().expect("randomness")
}

fn verifier(keys: &[&SigningKey]) -> Verifier {
    Verifier {
        keys: keys.iter().map(|key| key.public()).collect(),
        tokens: Vec::new(),
    }
}

fn signed(claims: &str, key: &SigningKey) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn access(claims: &str) -> Result<Access, AuthError> {
    let key = key();
    let grant = verifier(&[&key]).verify(&signed(claims, &key), at(1000))?;
    grant.access(ID, "app")
}

#[test]
fn claims_allow_what_they_say() {
    let (read, write) = (Ok(Access::Read), Ok(Access::Write));
    let nothing = Err(AuthError::Forbidden("anything on this database"));
    for (claims, expected) in [
        (r#"{}"#, &write),
        (r#"{"a":"rw"}"#, &write),
        (r#"{"a":"ro"}"#, &read),
        (r#"{"a":"roa","iat":5}"#, &read),
        (r#"{"a":"rw","id":"app"}"#, &write),
        (
            r#"{"a":"rw","id":"07070707-0707-0707-0707-070707070707"}"#,
            &write,
        ),
        (r#"{"a":"rw","id":"other"}"#, &nothing),
        (r#"{"id":"other"}"#, &nothing),
        (r#"{"p":{}}"#, &nothing),
        (r#"{"p":{"ro":{"ns":["app"]}}}"#, &read),
        (r#"{"p":{"rw":{"ns":["x","app"]}}}"#, &write),
        (r#"{"p":{"rwa":{"ns":["app"]},"ro":{"ns":["app"]}}}"#, &write),
        (r#"{"p":{"ddl":{"ns":["app"]}}}"#, &read),
        (r#"{"p":{"rw":{"ns":["x"]}}}"#, &nothing),
        (r#"{"a":"ro","p":{"rw":{"ns":["app"]}}}"#, &write),
    ] {
        assert_eq!(&access(claims), expected, "{claims}");
    }
}

#[test]
fn times_are_kept() {
    assert!(access(r#"{"exp":1001}"#).is_ok());
    assert_eq!(
        access(r#"{"exp":1000}"#),
        Err(AuthError::Invalid("it has expired"))
    );
    assert_eq!(
        access(r#"{"nbf":1001}"#),
        Err(AuthError::Invalid("it is not good yet"))
    );
}

#[test]
fn several_keys_are_good_at_once_and_others_are_not() {
    let (old, new, other) = (key(), key(), key());
    let verifier = verifier(&[&old, &new]);
    assert!(verifier.verify(&signed("{}", &old), at(0)).is_ok());
    assert!(verifier.verify(&signed("{}", &new), at(0)).is_ok());
    let refused = verifier.verify(&signed("{}", &other), at(0));
    assert_eq!(refused, Err(AuthError::Invalid("no known key has signed it")));
}

#[test]
fn the_token_does_not_choose_the_algorithm() {
    let key = key();
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"EdDSA","crit":["b64"]}"#,
    ] {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode("{}")
        );
        let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
        let refused = verifier(&[&key]).verify(&format!("{message}.{signature}"), at(0));
        assert!(matches!(refused, Err(AuthError::Invalid(_))), "{header}");
    }
}

#[test]
fn claims_round_through_a_token() {
    let key = key();
    let claims = Claims {
        id: Some("app".into()),
        admin: true,
        exp: Some(2000.0),
        ..Claims::default()
    };
    let token = claims.sign(&key).expect("JSON");
    let grant = verifier(&[&key]).verify(&token, at(1999)).expect("own token");
    assert_eq!(grant.access(ID, "app"), Ok(Access::Write));
    assert_eq!(grant.admin(), Ok(()));
    assert!(grant.access(ID, "other").is_err());
}

#[test]
fn static_tokens_are_good_as_they_stand() {
    let verifier = Verifier {
        keys: Vec::new(),
        tokens: vec![
            StaticToken::new("one", Grant::all()),
            StaticToken::new("two", Grant::everywhere(Access::Read)),
        ],
    };
    let two = verifier.verify("two", at(0)).expect("known");
    assert_eq!(two.access(ID, "app"), Ok(Access::Read));
    assert!(two.admin().is_err());
    assert!(verifier.verify("one", at(0)).expect("known").admin().is_ok());
    assert!(verifier.verify("on", at(0)).is_err());
    let auth = Auth::Enabled(verifier);
    assert_eq!(auth.verify(None), Err(AuthError::Missing));
    assert!(Auth::Disabled.verify(None).is_ok());
}

#[test]
fn keys_are_read_in_every_form() {
    let key = key();
    let public = key.public();
    assert_eq!(PublicKey::parse(&public.to_pem()), Ok(public.clone()));
    assert_eq!(PublicKey::parse(&public.to_base64()), Ok(public.clone()));
    assert_eq!(
        PublicKey::parse(&format!("{}=", public.to_base64())),
        Ok(public.clone())
    );
    let again = SigningKey::parse(&key.to_pem()).expect("own text");
    assert_eq!(again.public(), public);
    // As `openssl genpkey -algorithm ed25519` writes it (RFC 8410, section 10.3).
    let openssl = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    assert!(SigningKey::parse(openssl).is_ok());
    for text in [
        "",
        "x",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ] {
        assert_eq!(PublicKey::parse(text), Err(KeyError::Public), "{text}");
    }
    assert!(SigningKey::parse(&public.to_pem()).is_err());
}

proptest! {
    #[test]
    fn any_text_is_refused(text in ".{0,300}") {
        let key = SigningKey::generate().expect("randomness");
        prop_assert!(verifier(&[&key]).verify(&text, at(0)).is_err());
    }
}
