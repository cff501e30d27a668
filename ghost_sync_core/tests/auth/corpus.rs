//! Tokens that nobody may be let in with, and what each is refused for.

use ghost_sync_core::{
    AuthError::{self, *},
    MAX_TOKEN, MaxRole, RoomPatterns,
    auth::{TokenIssuer, TokenVerifier},
};
use serde_json::{Value, json};

use crate::support::*;

const HS: &str = r#"{"alg":"HS256","typ":"JWT","kid":"hs"}"#;
const ED: &str = r#"{"alg":"EdDSA","typ":"JWT","kid":"ed"}"#;

fn all_are_refused(tokens: impl IntoIterator<Item = (&'static str, String, AuthError)>) -> usize {
    let (verifier, mut count) = (verifier().issuer("mygame"), 0);
    let backend = TokenIssuer::hs256("hs", SECRET).unwrap().accept(ed25519().keys().clone());
    for (name, token, why) in tokens {
        count += 1;
        assert_eq!(show(&verifier, &token).map(|who| who.user), Err(why), "{name}");
        let fresh = backend.refresh(&token, &RoomPatterns::none(), None, secs(60), wall(NOW));
        assert!(fresh.is_err(), "{name}, to be refreshed");
    }
    count
}

/// Claims of the issuer that the verifier wants.
fn good() -> Value {
    with("iss", "mygame")
}

/// Good but for that claim.
fn but(key: &str, value: impl Into<Value>) -> String {
    let mut claims = good();
    claims[key] = value.into();
    signed(&claims)
}

/// Good but for the lack of that claim.
fn lacking(key: &str) -> String {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(key);
    signed(&claims)
}

/// Good, with that text in the place of the first `{`.
fn beginning(text: &str) -> String {
    signed_text(good().to_string().replacen('{', text, 1))
}

#[test]
fn what_they_are_made_of_would_be_taken() {
    let verifier = verifier().issuer("mygame");
    for token in [signed(&good()), ed_signed(ED, &good()), mac(HS, good().to_string())] {
        assert_eq!(show(&verifier, &token).map(|who| who.user), Ok(ada()));
    }
    let typeless = r#"{"alg":"HS256","kid":"hs"}"#;
    assert!(show(&verifier, &mac(typeless, good().to_string())).is_ok());
}

#[test]
fn no_header_chooses_how_it_is_checked() {
    let header = |header: &str| mac(header, good().to_string());
    let unsigned = |alg: &str| {
        let header = json!({ "alg": alg, "kid": "hs" }).to_string();
        format!("{}.{}.", b64(header), b64(good().to_string()))
    };
    let public = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        PUBLIC_PEM.lines().nth(1).unwrap(),
    );
    let (spki, as_hs) = (public.unwrap(), r#"{"alg":"HS256","typ":"JWT","kid":"ed"}"#);
    let keyed = |secret: &[u8], header: &str| mac_with(secret, header, good().to_string());
    let count = all_are_refused([
        ("alg none", unsigned("none"), Malformed),
        ("alg None", unsigned("None"), Malformed),
        ("alg NONE", unsigned("NONE"), Malformed),
        ("alg nOnE", unsigned("nOnE"), Malformed),
        ("alg empty", unsigned(""), Malformed),
        ("alg none, but signed", header(r#"{"alg":"none","kid":"hs"}"#), Malformed),
        ("HS256, not signed", unsigned("HS256"), BadSignature),
        ("the public key as a secret", keyed(&spki[12..], as_hs), BadSignature),
        ("its SPKI as a secret", keyed(&spki, as_hs), BadSignature),
        ("its PEM as a secret", keyed(PUBLIC_PEM.as_bytes(), as_hs), BadSignature),
        (
            "its PEM without the line break",
            keyed(PUBLIC_PEM.trim().as_bytes(), as_hs),
            BadSignature,
        ),
        ("the public key, said to be EdDSA", keyed(&spki[12..], ED), BadSignature),
        ("HS256 by the name of the other key", header(as_hs), BadSignature),
        (
            "EdDSA by the name of the other key",
            ed_signed(&ED.replace("ed", "hs"), &good()),
            BadSignature,
        ),
        ("signed by EdDSA, said to be HS256", ed_signed(as_hs, &good()), BadSignature),
        ("another secret", keyed(b"6a1d9c2e5b8f70439f2d5a3c8b7e41f0", HS), BadSignature),
        ("an empty secret", keyed(b"", HS), BadSignature),
        ("HS384", header(r#"{"alg":"HS384","kid":"hs"}"#), Malformed),
        ("RS256", header(r#"{"alg":"RS256","kid":"hs"}"#), Malformed),
        ("ES256", header(r#"{"alg":"ES256","kid":"ed"}"#), Malformed),
        ("hs256", header(r#"{"alg":"hs256","kid":"hs"}"#), Malformed),
        ("alg missing", header(r#"{"kid":"hs"}"#), Malformed),
        ("alg null", header(r#"{"alg":null,"kid":"hs"}"#), Malformed),
        ("alg list", header(r#"{"alg":["HS256"],"kid":"hs"}"#), Malformed),
        ("alg twice", header(r#"{"alg":"none","alg":"HS256","kid":"hs"}"#), Malformed),
        ("kid twice", header(r#"{"alg":"HS256","kid":"ed","kid":"hs"}"#), Malformed),
        ("kid unknown", header(r#"{"alg":"HS256","kid":"old"}"#), UnknownKey),
        ("kid missing where there are two", header(r#"{"alg":"HS256"}"#), UnknownKey),
        ("kid empty", header(r#"{"alg":"HS256","kid":""}"#), UnknownKey),
        ("kid in capitals", header(r#"{"alg":"HS256","kid":"HS"}"#), UnknownKey),
        ("kid with NUL", header(r#"{"alg":"HS256","kid":"hs\u0000"}"#), UnknownKey),
        ("kid a path", header(r#"{"alg":"HS256","kid":"../../../dev/null"}"#), UnknownKey),
        ("kid a file", header(r#"{"alg":"HS256","kid":"keys/hs.secret"}"#), UnknownKey),
        ("kid a query", header(r#"{"alg":"HS256","kid":"x' OR '1'='1"}"#), UnknownKey),
        (
            "kid of 6 KB",
            header(&json!({ "alg": "HS256", "kid": "k".repeat(6000) }).to_string()),
            Malformed,
        ),
        ("kid null", header(r#"{"alg":"HS256","kid":null}"#), Malformed),
        ("kid number", header(r#"{"alg":"HS256","kid":1}"#), Malformed),
        ("jwk", header(r#"{"alg":"HS256","kid":"hs","jwk":{"kty":"oct","k":"AA"}}"#), Malformed),
        ("jku", header(r#"{"alg":"HS256","kid":"hs","jku":"https://evil.example"}"#), Malformed),
        ("x5u", header(r#"{"alg":"HS256","kid":"hs","x5u":"https://evil.example"}"#), Malformed),
        ("x5c", header(r#"{"alg":"HS256","kid":"hs","x5c":["AA=="]}"#), Malformed),
        ("crit", header(r#"{"alg":"HS256","kid":"hs","crit":["exp"]}"#), Malformed),
        ("crit empty", header(r#"{"alg":"HS256","kid":"hs","crit":[]}"#), Malformed),
        ("b64", header(r#"{"alg":"HS256","kid":"hs","b64":false}"#), Malformed),
        ("zip", header(r#"{"alg":"HS256","kid":"hs","zip":"DEF"}"#), Malformed),
        ("typ JWE", header(r#"{"alg":"HS256","kid":"hs","typ":"JWE"}"#), Malformed),
        ("typ null", header(r#"{"alg":"HS256","kid":"hs","typ":null}"#), Malformed),
        ("a list for a header", header(r#"["HS256","hs","JWT"]"#), Malformed),
        ("no header", header(""), Malformed),
        ("more behind the header", header(&format!("{HS}{HS}")), Malformed),
    ]);
    assert!(count >= 40, "{count}");
}

#[test]
fn times_are_whole_seconds_near_enough() {
    let exp = |text: &str| {
        let claims = good().to_string();
        signed_text(claims.replace(&format!("\"exp\":{}", NOW + 3600), &format!("\"exp\":{text}")))
    };
    all_are_refused([
        ("exp missing", lacking("exp"), Malformed),
        ("exp text", exp(&format!("\"{}\"", NOW + 60)), Malformed),
        ("exp null", exp("null"), Malformed),
        ("exp negative", exp("-1"), Malformed),
        ("exp minus nothing", exp("-0"), Malformed),
        ("exp 1e400", exp("1e400"), Malformed),
        ("exp 1e18", exp("1e18"), Malformed),
        ("exp with a fraction", exp(&format!("{}.5", NOW + 60)), Malformed),
        ("exp infinite", exp("Infinity"), Malformed),
        ("exp true", exp("true"), Malformed),
        ("exp a list", exp(&format!("[{}]", NOW + 60)), Malformed),
        ("exp beyond 64 bits", exp("18446744073709551616"), Malformed),
        ("exp at the end of 64 bits", exp("18446744073709551615"), Malformed),
        ("exp in milliseconds", exp(&format!("{}000", NOW + 60)), Malformed),
        ("exp in hex", exp("0x7fffffff"), Malformed),
        (
            "exp 30 s ago",
            signed(&json!({ "kind": "access", "aud": "ghost", "iss": "mygame",
            "sub": "ada", "iat": NOW - 100, "exp": NOW - 30 })),
            Expired,
        ),
        ("exp nothing", exp("0"), Malformed),
        ("exp before iat", but("exp", NOW - 1), Malformed),
        ("exp at iat", but("exp", NOW), Malformed),
        ("a day and a second", but("exp", NOW + 24 * 3600 + 1), Malformed),
        ("a year", but("exp", NOW + 365 * 24 * 3600), Malformed),
        ("iat missing", lacking("iat"), Malformed),
        ("iat text", but("iat", NOW.to_string()), Malformed),
        ("iat null", but("iat", Value::Null), Malformed),
        ("iat in 31 s", but("iat", NOW + 31), NotYetValid),
        ("nbf in 31 s", but("nbf", NOW + 31), NotYetValid),
        ("nbf text", but("nbf", "now"), Malformed),
        ("nbf null", but("nbf", Value::Null), Malformed),
    ]);
    let verifier = verifier().issuer("mygame");
    for near in [but("iat", NOW + 30), but("nbf", NOW + 30), but("exp", NOW + 24 * 3600)] {
        assert!(show(&verifier, &near).is_ok());
    }
}

#[test]
fn a_token_is_for_one_purpose_and_from_one_issuer() {
    let refresh = |aud: &str, kind: &str| {
        signed(&json!({ "kind": kind, "aud": aud, "iss": "mygame", "sub": "ada",
            "iat": NOW, "exp": NOW + 60 }))
    };
    all_are_refused([
        ("aud missing", lacking("aud"), Malformed),
        ("aud null", but("aud", Value::Null), Malformed),
        ("aud a list", but("aud", json!(["ghost"])), Malformed),
        ("aud another", but("aud", "spirit"), WrongAudience),
        ("aud in capitals", but("aud", "Ghost"), WrongAudience),
        ("aud longer", but("aud", "ghost2"), WrongAudience),
        ("aud empty", but("aud", ""), WrongAudience),
        ("kind missing", lacking("kind"), Malformed),
        ("kind null", but("kind", Value::Null), Malformed),
        ("kind unknown", but("kind", "id"), Malformed),
        ("kind in capitals", but("kind", "ACCESS"), Malformed),
        ("refresh by its kind alone", refresh("ghost", "refresh"), WrongAudience),
        ("refresh by its audience alone", refresh("ghost-refresh", "access"), WrongAudience),
        ("iss missing", signed(&claims()), WrongAudience),
        ("iss another", but("iss", "yourgame"), WrongAudience),
        ("iss null", but("iss", Value::Null), Malformed),
        ("iss a list", but("iss", json!(["mygame"])), Malformed),
    ]);
    let refresh = refresh("ghost-refresh", "refresh");
    assert_eq!(show(&verifier(), &refresh).map(|who| who.user), Err(WrongAudience));
    let access = signed(&good());
    let backend = hs256().issuer("mygame");
    let rooms = RoomPatterns::none();
    assert!(backend.refresh(&refresh, &rooms, None, secs(60), wall(NOW)).is_ok());
    assert!(backend.refresh(&access, &rooms, None, secs(60), wall(NOW)).is_err());
}

#[test]
fn claims_have_their_types_and_bounds() {
    let long = "x".repeat(65);
    let entries = |count: usize| -> Value {
        (0..count)
            .map(|key| (key.to_string(), "v".into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    all_are_refused([
        ("sub missing", lacking("sub"), Malformed),
        ("sub null", but("sub", Value::Null), Malformed),
        ("sub empty", but("sub", ""), Malformed),
        ("sub of 65 bytes", but("sub", long.clone()), Malformed),
        ("sub of 33 letters of two bytes", but("sub", "ä".repeat(33)), Malformed),
        ("sub a number", but("sub", 7), Malformed),
        ("sub a list", but("sub", json!(["ada"])), Malformed),
        ("sub with a line break", but("sub", "ada\nroot"), Malformed),
        ("sub with NUL", but("sub", "ada\0"), Malformed),
        ("sub half a character", beginning(r#"{"sub":"\ud800","#), Malformed),
        ("sub twice", beginning(r#"{"sub":"root","#), Malformed),
        ("exp twice", beginning(r#"{"exp":9999999999,"#), Malformed),
        ("aud twice", beginning(r#"{"aud":"ghost","#), Malformed),
        ("kind twice", beginning(r#"{"kind":"access","#), Malformed),
        ("sid of 65 bytes", but("sid", long.clone()), Malformed),
        ("sid empty", but("sid", ""), Malformed),
        ("sid null", but("sid", Value::Null), Malformed),
        ("jti of 65 bytes", but("jti", long), Malformed),
        ("jti a number", but("jti", 1), Malformed),
        ("jti with a tab", but("jti", "a\tb"), Malformed),
        ("rooms text", but("rooms", "lobby"), Malformed),
        ("rooms null", but("rooms", Value::Null), Malformed),
        ("rooms a star inside", but("rooms", json!(["a*b"])), Malformed),
        ("rooms a star twice", but("rooms", json!(["**"])), Malformed),
        ("rooms without a name", but("rooms", json!([""])), Malformed),
        ("rooms a number", but("rooms", json!([1])), Malformed),
        ("rooms of 129 patterns", but("rooms", vec!["a"; 129]), Malformed),
        ("rooms of a long name", but("rooms", json!(["r".repeat(129)])), Malformed),
        ("role unknown", but("role", "admin"), Malformed),
        ("role in capitals", but("role", "Moderator"), Malformed),
        ("role null", but("role", Value::Null), Malformed),
        ("role a number", but("role", 2), Malformed),
        ("create text", but("create", "true"), Malformed),
        ("create a number", but("create", 1), Malformed),
        ("create null", but("create", Value::Null), Malformed),
        ("meta a list", but("meta", json!([["name", "Ada"]])), Malformed),
        ("meta a number in it", but("meta", json!({ "score": 1 })), Malformed),
        ("meta null", but("meta", Value::Null), Malformed),
        ("meta without a key", but("meta", json!({ "": "x" })), Malformed),
        ("meta of 33 entries", but("meta", entries(33)), Malformed),
        ("meta of 2,049 bytes", but("meta", json!({ "k": "v".repeat(2048) })), Malformed),
        ("meta a key twice", beginning(r#"{"meta":{"name":"a","name":"b"},"#), Malformed),
    ]);
    let most = but("meta", entries(32));
    assert!(show(&verifier(), &most).is_ok());
    let nobody = show(&verifier(), &but("rooms", json!([]))).unwrap();
    assert_eq!(nobody.rooms, RoomPatterns::none());
    let unknown = show(&verifier(), &but("plan", json!({ "tier": 3 }))).unwrap();
    assert_eq!((unknown.role, unknown.create), (MaxRole::Player, false));
}

#[test]
fn nothing_is_guessed_where_the_form_is_wrong() {
    let good = signed(&good());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("three parts") };
    let last = signature.chars().last().unwrap();
    // 32 bytes leave two bits of the last character unused.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    let twin = format!("{}{}", &good[..good.len() - 1], &alphabet[at + 1..=at + 1]);
    let nested = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    all_are_refused([
        ("nothing", String::new(), Missing),
        ("a space", " ".to_owned(), Malformed),
        ("a word", "token".to_owned(), Malformed),
        ("two parts", format!("{header}.{claims}"), Malformed),
        ("two dots", "..".to_owned(), Malformed),
        ("three dots", "...".to_owned(), Malformed),
        ("no signature", format!("{header}.{claims}."), BadSignature),
        ("half a signature", format!("{header}.{claims}.{}", &signature[..20]), BadSignature),
        ("a signature of all zeros", format!("{header}.{claims}.{}", b64([0; 32])), BadSignature),
        ("no claims", format!("{header}..{signature}"), BadSignature),
        ("no header", format!(".{claims}.{signature}"), Malformed),
        ("a dot behind", format!("{good}."), Malformed),
        ("dots behind", format!("{good}..."), Malformed),
        ("a dot before", format!(".{good}"), Malformed),
        ("five parts", format!("{good}.{claims}.{signature}"), Malformed),
        ("a space before", format!(" {good}"), Malformed),
        ("a line break behind", format!("{good}\n"), Malformed),
        ("NUL behind", format!("{good}\0"), Malformed),
        ("Bearer", format!("Bearer {good}"), Malformed),
        ("quotes", format!("\"{good}\""), Malformed),
        ("padding behind", format!("{good}="), Malformed),
        ("padding in the claims", format!("{header}.{claims}=.{signature}"), Malformed),
        ("padding in the header", format!("{header}==.{claims}.{signature}"), Malformed),
        ("bits that no byte needs", twin, Malformed),
        ("the other alphabet", format!("{header}.{claims}.{}", "+/".repeat(21)), Malformed),
        ("a letter that is none", good.replacen('e', "\u{435}", 1), Malformed),
        ("a dot that is none", good.replacen('.', "\u{ff0e}", 1), Malformed),
        (
            "claims of another token",
            format!("{header}.{}.{signature}", b64(with("sub", "root").to_string())),
            BadSignature,
        ),
        ("claims that are not UTF-8", signed_text(b"{\"sub\":\"\xff\"}"), Malformed),
        ("claims that are no JSON", signed_text("ada"), Malformed),
        ("claims in a list", signed_text(r#"["access","ghost","mygame","ada",1,0]"#), Malformed),
        ("claims in a text", signed_text(json!(claims).to_string()), Malformed),
        ("claims that are empty", signed_text("{}"), Malformed),
        ("a word behind the claims", signed_text(format!("{}x", self::good())), Malformed),
        ("a byte order mark", signed_text(format!("\u{feff}{}", self::good())), Malformed),
        ("3,000 lists in each other", beginning(&format!(r#"{{"x":{nested},"#)), Malformed),
        ("8,193 bytes", padded(MAX_TOKEN + 1), Malformed),
        ("1 MiB", "a".repeat(1 << 20), Malformed),
        ("1 MiB of dots", ".".repeat(1 << 20), Malformed),
        ("1 MiB of claims", but("x", "a".repeat(1 << 20)), Malformed),
    ]);
    let most = padded(MAX_TOKEN);
    assert!(show(&verifier(), &most).is_ok());
}

/// A good token of that length.
fn padded(len: usize) -> String {
    let token = |bytes: usize| but("x", "a".repeat(bytes));
    (0..).map(|more| token(len / 4 * 3 - 300 + more)).find(|token| token.len() >= len).unwrap()
}

#[test]
fn a_verifier_without_keys_or_with_one_takes_what_it_can_check() {
    let nameless = mac(r#"{"alg":"HS256"}"#, claims().to_string());
    let one = TokenVerifier::new(hs256().keys().clone());
    assert_eq!(show(&one, &nameless).unwrap().key_id.as_deref(), Some("hs"));
    let none = TokenVerifier::new(ghost_sync_core::auth::Keys::new());
    assert_eq!(show(&none, &nameless).map(|who| who.user), Err(UnknownKey));
}
