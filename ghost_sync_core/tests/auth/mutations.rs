//! Tokens that were changed, and claims of any kind.

use ghost_sync_core::{
    MAX_METADATA_BYTES, MAX_METADATA_ENTRIES, MAX_TOKEN, RoomPatterns, UserId,
    auth::{Grant, TokenKind},
};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};

use crate::support::*;

/// One change of a text.
#[derive(Clone, Debug)]
enum Change {
    Put(Index, char),
    Insert(Index, char),
    Remove(Index),
    Swap(Index, Index),
    Cut(Index),
    Double(Index),
}

fn letter() -> impl Strategy<Value = char> {
    prop_oneof!["[A-Za-z0-9_-]", "[.=+/ \n]", any::<char>().prop_map(String::from)]
        .prop_map(|text| text.chars().next().unwrap())
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), letter()).prop_map(|(at, to)| Change::Put(at, to)),
        (any::<Index>(), letter()).prop_map(|(at, to)| Change::Insert(at, to)),
        any::<Index>().prop_map(Change::Remove),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Change::Swap(one, other)),
        any::<Index>().prop_map(Change::Cut),
        any::<Index>().prop_map(Change::Double),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for change in changes {
        let len = text.len().max(1);
        if text.is_empty() {
            break;
        }
        match change {
            Change::Put(at, to) => text[at.index(len)] = *to,
            Change::Insert(at, to) => text.insert(at.index(len), *to),
            Change::Remove(at) => drop(text.remove(at.index(len))),
            Change::Swap(one, other) => text.swap(one.index(len), other.index(len)),
            Change::Cut(at) => text.truncate(at.index(len)),
            Change::Double(at) => text.extend_from_within(at.index(len)..),
        }
    }
    text.into_iter().collect()
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (NOW - 90_000..NOW + 90_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,70}".prop_map(Value::from),
        "player|moderator|lobby|match-\\*|\\*|refresh|ghost-refresh".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 16, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((".{0,9}", inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_changed_token_is_never_taken(is_ed in any::<bool>(), changes in vec(change(), 1..4)) {
        let issuer = if is_ed { ed25519() } else { hs256() };
        let grant = Grant { token_id: Some("t".to_owned()), ..Grant::new(ada(), secs(60)) };
        let good = issuer.sign(TokenKind::Access, &grant, wall(NOW)).unwrap();
        let bad = changed(good.expose(), &changes);
        prop_assert_eq!(show(&verifier(), &bad).is_ok(), bad == good.expose());
    }

    #[test]
    fn a_changed_refresh_token_is_never_taken(changes in vec(change(), 1..4)) {
        let issuer = hs256();
        let grant = Grant { token_id: Some("t".to_owned()), ..Grant::new(ada(), secs(60)) };
        let good = issuer.sign(TokenKind::Refresh, &grant, wall(NOW)).unwrap();
        let bad = changed(good.expose(), &changes);
        let fresh = issuer.refresh(&bad, &RoomPatterns::none(), None, secs(9), wall(NOW));
        prop_assert_eq!(fresh.is_ok(), bad == good.expose());
    }

    #[test]
    fn any_text_is_survived(text in ".{0,300}") {
        prop_assert!(show(&verifier(), &text).is_err());
    }

    #[test]
    fn whatever_was_signed_what_is_taken_is_within_its_bounds(
        key in "kind|aud|iss|sub|exp|iat|nbf|sid|jti|rooms|role|create|meta",
        value in value(),
    ) {
        let mut claims = json!({ "sid": "s", "jti": "t" });
        claims.as_object_mut().unwrap().extend(self::claims().as_object().unwrap().clone());
        claims[&key] = value;
        if let Ok(who) = show(&verifier(), &signed(&claims)) {
            prop_assert!(who.user.as_str().len() <= UserId::MAX_LEN);
            prop_assert!(who.meta.entries().len() <= MAX_METADATA_ENTRIES);
            let bytes: usize = who.meta.entries().iter().map(|(k, v)| k.len() + v.len()).sum();
            prop_assert!(bytes <= MAX_METADATA_BYTES);
            let now = std::time::Instant::now();
            prop_assert!(who.expires.unwrap() <= now + secs(24 * 3600));
            prop_assert!(who.token_id.unwrap().len() <= 64 && who.session.unwrap().len() <= 64);
            prop_assert!(claims[&key] != Value::Null);
        }
    }
}

#[test]
fn every_single_bit_of_a_token_counts() {
    for issuer in [ed25519(), hs256()] {
        let grant = Grant::new(ada(), secs(60));
        let good = issuer.sign(TokenKind::Access, &grant, wall(NOW)).unwrap();
        assert!(good.expose().len() <= MAX_TOKEN);
        for at in 0..good.expose().len() {
            for bit in 0..7 {
                let mut bytes = good.expose().as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let bad = String::from_utf8(bytes).unwrap();
                assert!(show(&verifier(), &bad).is_err(), "byte {at}, bit {bit}");
            }
        }
    }
}
