//! Tokens: what one costs to verify, and to refuse.

#![allow(missing_docs, reason = "the macros of Criterion write undocumented functions")]
#![expect(clippy::unwrap_used, reason = "a bench ends where it meets what it does not expect")]

use std::{
    hint::black_box,
    time::{Duration, Instant, SystemTime},
};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ghost_sync_core::{
    AuthError, RoomPatterns, Token, UserId,
    auth::{TokenIssuer, TokenVerifier},
};

/// Of RFC 8410, section 10.3.
const PRIVATE_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";
const SECRET: &[u8] = b"9f2d5a3c8b7e41f06a1d9c2e5b8f7043";

fn issuers() -> [(&'static str, TokenIssuer); 2] {
    let ed25519 = TokenIssuer::ed25519("2026-11", PRIVATE_PEM).unwrap();
    [("ed25519", ed25519), ("hs256", TokenIssuer::hs256("2026-11", SECRET).unwrap())]
}

fn token(issuer: &TokenIssuer) -> Token {
    let rooms = RoomPatterns::new(["lobby", "match-*"]).unwrap();
    let user = UserId::new("ada").unwrap();
    issuer.sign_access(&user, &rooms, Some("login"), Duration::from_secs(3600)).unwrap()
}

fn verify(c: &mut Criterion) {
    let mut group = c.benchmark_group("auth/verify");
    let (wall, now) = (SystemTime::now(), Instant::now());
    for (algorithm, issuer) in issuers() {
        let verifier = TokenVerifier::new(issuer.keys().clone());
        let good = token(&issuer);
        let mut forged = good.expose().to_owned();
        let at = forged.len() - 10;
        let other = if &forged[at..=at] == "A" { "B" } else { "A" };
        forged.replace_range(at..=at, other);
        for (name, token, expected) in
            [("taken", good.expose(), None), ("forged", &forged, Some(AuthError::BadSignature))]
        {
            assert_eq!(verifier.verify(token, wall, now).err(), expected);
            group.bench_function(BenchmarkId::new(name, algorithm), |bencher| {
                bencher.iter(|| verifier.verify(black_box(token), wall, now));
            });
        }
    }
    group.finish();
}

fn refuse(c: &mut Criterion) {
    let mut group = c.benchmark_group("auth/refuse");
    let (wall, now) = (SystemTime::now(), Instant::now());
    let [(_, issuer), _] = issuers();
    let verifier = TokenVerifier::new(issuer.keys().clone());
    let unknown = token(&TokenIssuer::hs256("old", SECRET).unwrap());
    let long = ".".repeat(1 << 20);
    for (name, token, why) in [
        ("unknown key", unknown.expose(), AuthError::UnknownKey),
        ("1 MiB", &long, AuthError::Malformed),
    ] {
        assert_eq!(verifier.verify(token, wall, now).err(), Some(why));
        group.bench_function(name, |bencher| {
            bencher.iter(|| verifier.verify(black_box(token), wall, now));
        });
    }
    group.finish();
}

fn sign(c: &mut Criterion) {
    let mut group = c.benchmark_group("auth/sign");
    for (algorithm, issuer) in issuers() {
        group.bench_function(algorithm, |bencher| bencher.iter(|| token(&issuer)));
    }
    group.finish();
}

criterion_group!(benches, verify, refuse, sign);
criterion_main!(benches);
