//! Tokens that an issuer makes, and what comes out of them.

use std::time::Instant;

use ghost_sync_core::{
    AuthError, LockedMeta, MAX_METADATA_BYTES, MAX_TOKEN, MaxRole, RoomPatterns, Token,
    auth::{
        Grant, Keys, MAX_ACCESS_LIFE, MAX_REFRESH_LIFE, RefreshError, SignError, TokenIssuer,
        TokenKind, TokenVerifier,
    },
};

use crate::support::*;

fn grant() -> Grant {
    Grant::new(ada(), secs(3600))
}

fn rooms(patterns: &[&str]) -> RoomPatterns {
    RoomPatterns::new(patterns).unwrap()
}

fn access(issuer: &TokenIssuer, grant: &Grant) -> Token {
    issuer.sign(TokenKind::Access, grant, wall(NOW)).unwrap()
}

fn refresh(issuer: &TokenIssuer, grant: &Grant) -> Token {
    issuer.sign(TokenKind::Refresh, grant, wall(NOW)).unwrap()
}

#[test]
fn all_that_is_granted_comes_out_again() {
    let full = Grant {
        rooms: rooms(&["lobby", "match-*"]),
        session: Some("login-1".to_owned()),
        token_id: Some("token-1".to_owned()),
        role: MaxRole::Moderator,
        create: true,
        meta: LockedMeta::new([("name", "Ada \"λ\""), ("team", "red")]).unwrap(),
        ..grant()
    };
    for (issuer, kid) in [(ed25519(), "ed"), (hs256(), "hs")] {
        let now = Instant::now();
        let who = verifier().verify(access(&issuer, &full).expose(), wall(NOW), now).unwrap();
        assert_eq!((who.user, who.rooms), (ada(), full.rooms.clone()));
        assert_eq!(who.session.as_deref(), Some("login-1"));
        assert_eq!(who.token_id.as_deref(), Some("token-1"));
        assert_eq!(who.key_id.as_deref(), Some(kid));
        assert_eq!((who.role, who.create), (MaxRole::Moderator, true));
        assert_eq!(who.meta, full.meta);
        assert_eq!((who.issued, who.expires), (Some(wall(NOW)), Some(now + secs(3600))));
    }
}

#[test]
fn what_is_not_granted_is_not_there_and_each_token_has_a_name() {
    let issuer = ed25519();
    let shown = |token: &Token| show(&verifier(), token.expose()).unwrap();
    let (one, other) = (shown(&access(&issuer, &grant())), shown(&access(&issuer, &grant())));
    assert_eq!((one.role, one.create), (MaxRole::Player, false));
    assert!(one.rooms.is_any() && one.session.is_none() && one.meta.entries().is_empty());
    assert_eq!(one.token_id.as_ref().map(|id| id.len()), Some(22));
    assert_ne!(one.token_id, other.token_id);
}

#[test]
fn the_short_forms_sign_by_the_clock_of_the_system() {
    let issuer = hs256();
    let token = issuer.sign_access(&ada(), &rooms(&["lobby"]), Some("s"), secs(60)).unwrap();
    let now = std::time::SystemTime::now();
    let who = verifier().verify(token.expose(), now, Instant::now()).unwrap();
    assert_eq!((who.session.as_deref(), who.rooms), (Some("s"), rooms(&["lobby"])));
    let refresh = issuer.sign_refresh(&ada(), Some("s"), secs(60)).unwrap();
    let token = issuer.refresh_access(refresh.expose(), &rooms(&["den"]), None, secs(60)).unwrap();
    let who = verifier().verify(token.expose(), now, Instant::now()).unwrap();
    assert_eq!((who.session.as_deref(), who.rooms), (Some("s"), rooms(&["den"])));
}

#[test]
fn an_identity_ends_with_its_token_by_whichever_clock_is_earlier() {
    let token = access(&ed25519(), &Grant { ..Grant::new(ada(), secs(10)) });
    let (verifier, now) = (verifier(), Instant::now());
    let left = |at: u64| {
        let who = verifier.verify(token.expose(), wall(at), now);
        who.map(|who| who.expires.unwrap() - now)
    };
    assert_eq!(left(NOW), Ok(secs(10)));
    assert_eq!(left(NOW - 30), Ok(secs(10)));
    assert_eq!(left(NOW + 25), Ok(secs(10)));
    assert_eq!(left(NOW + 35), Ok(secs(5)));
    assert_eq!(left(NOW + 40), Err(AuthError::Expired));
    assert_eq!(left(NOW - 31), Err(AuthError::NotYetValid));
    let strict = self::verifier().leeway(secs(0));
    assert!(strict.verify(token.expose(), wall(NOW + 9), now).is_ok());
    assert_eq!(
        strict.verify(token.expose(), wall(NOW + 10), now).map(|who| who.user),
        Err(AuthError::Expired)
    );
}

#[test]
fn what_nobody_would_take_is_not_signed() {
    let sign = |kind, grant: Grant| hs256().sign(kind, &grant, wall(NOW)).map(drop);
    let lasting = |life| Grant { life, ..grant() };
    let (access, refresh) = (TokenKind::Access, TokenKind::Refresh);
    let too_long = Err(SignError::Life { max: MAX_ACCESS_LIFE });
    assert_eq!(sign(access, lasting(MAX_ACCESS_LIFE)), Ok(()));
    assert_eq!(sign(access, lasting(MAX_ACCESS_LIFE + secs(1))), too_long);
    assert_eq!(sign(access, lasting(std::time::Duration::from_millis(999))), too_long);
    assert_eq!(sign(refresh, lasting(MAX_REFRESH_LIFE)), Ok(()));
    let too_long = Err(SignError::Life { max: MAX_REFRESH_LIFE });
    assert_eq!(sign(refresh, lasting(MAX_REFRESH_LIFE + secs(1))), too_long);
    for bad in ["", "a\nb", &"x".repeat(65)] {
        let session = Grant { session: Some(bad.to_owned()), ..grant() };
        assert_eq!(sign(access, session), Err(SignError::Name));
        let token = Grant { token_id: Some(bad.to_owned()), ..grant() };
        assert_eq!(sign(access, token), Err(SignError::Name));
    }
    let name = "r".repeat(100);
    let wide = rooms(&[name.as_str(); 60]);
    let meta = LockedMeta::new([("k", "v".repeat(MAX_METADATA_BYTES - 1))]).unwrap();
    let much = sign(access, Grant { rooms: wide, meta, ..grant() });
    assert!(matches!(much, Err(SignError::TooLong { len }) if len > MAX_TOKEN));
}

#[test]
fn a_refresh_token_gives_only_rooms_that_it_covers() {
    let issuer = ed25519();
    let from = |own: &[&str], asked: &RoomPatterns| {
        let token = refresh(&issuer, &Grant { rooms: rooms(own), ..grant() });
        issuer.refresh(token.expose(), asked, None, secs(60), wall(NOW)).map(drop)
    };
    let own = ["lobby", "match-*"];
    for inside in [&["lobby"][..], &["match-7"], &["match-7*", "lobby"], &["match-*"], &[]] {
        assert_eq!(from(&own, &rooms(inside)), Ok(()), "{inside:?}");
    }
    for outside in [&["den"][..], &["lobby", "den"], &["*"], &["match*"], &["lobby*"]] {
        assert_eq!(from(&own, &rooms(outside)), Err(RefreshError::Rooms), "{outside:?}");
    }
    assert_eq!(from(&own, &RoomPatterns::any()), Err(RefreshError::Rooms));
    assert_eq!(from(&[], &rooms(&["lobby"])), Err(RefreshError::Rooms));
    assert_eq!(from(&["*"], &RoomPatterns::any()), Ok(()));
}

#[test]
fn a_refresh_token_gives_no_higher_role_no_other_login_and_no_longer_life() {
    let issuer = hs256();
    let meta = LockedMeta::new([("name", "Ada")]).unwrap();
    let own = Grant {
        session: Some("login".to_owned()),
        role: MaxRole::Spectator,
        meta: meta.clone(),
        ..grant()
    };
    let token = refresh(&issuer, &own);
    let fresh = |session, life, at: u64| {
        let rooms = rooms(&["lobby"]);
        issuer.refresh(token.expose(), &rooms, session, secs(life), wall(at))
    };
    let now = Instant::now();
    let access = fresh(None, 7200, NOW + 3000).unwrap();
    let who = verifier().verify(access.expose(), wall(NOW + 3000), now).unwrap();
    assert_eq!(who.expires, Some(now + secs(600)));
    assert_eq!((who.role, who.create, who.meta), (MaxRole::Spectator, false, meta));
    assert_eq!(who.session.as_deref(), Some("login"));
    assert!(fresh(Some("login"), 60, NOW).is_ok());
    assert_eq!(fresh(Some("other"), 60, NOW).map(drop), Err(RefreshError::Session));
    let expired = Err(RefreshError::Refused(AuthError::Expired));
    assert_eq!(fresh(None, 60, NOW + 3600).map(drop), expired);
    assert_eq!(fresh(None, 60, NOW + 4000).map(drop), expired);
    let longest = Err(RefreshError::Sign(SignError::Life { max: MAX_ACCESS_LIFE }));
    assert_eq!(fresh(None, 0, NOW).map(drop), longest);
}

#[test]
fn kinds_are_not_taken_for_each_other() {
    for issuer in [ed25519(), hs256()] {
        let token = refresh(&issuer, &grant());
        let why = show(&verifier(), token.expose()).map(|who| who.user);
        assert_eq!(why, Err(AuthError::WrongAudience));
        let token = access(&issuer, &grant());
        let fresh = issuer.refresh(token.expose(), &rooms(&[]), None, secs(60), wall(NOW));
        assert_eq!(fresh.map(drop), Err(RefreshError::Refused(AuthError::WrongAudience)));
    }
}

#[test]
fn audience_and_issuer_must_be_those_of_the_server() {
    let token = |issuer: TokenIssuer| access(&issuer, &grant());
    let server = || verifier().audience("arena").issuer("studio");
    let shown = |verifier: &TokenVerifier, issuer| {
        show(verifier, token(issuer).expose()).map(|who| who.user)
    };
    assert_eq!(shown(&server(), hs256().audience("arena").issuer("studio")), Ok(ada()));
    for other in [hs256(), hs256().audience("arena"), hs256().issuer("studio")] {
        assert_eq!(shown(&server(), other), Err(AuthError::WrongAudience));
    }
    assert_eq!(shown(&verifier(), hs256().issuer("studio")), Ok(ada()));
    let issuer = hs256().audience("arena");
    let token = refresh(&issuer, &grant());
    assert!(issuer.refresh(token.expose(), &rooms(&[]), None, secs(9), wall(NOW)).is_ok());
    let other = hs256().refresh(token.expose(), &rooms(&[]), None, secs(9), wall(NOW));
    assert_eq!(other.map(drop), Err(RefreshError::Refused(AuthError::WrongAudience)));
}

#[test]
fn refresh_tokens_of_an_older_key_are_taken_where_it_is_accepted() {
    let token = refresh(&hs256(), &grant());
    let fresh = |issuer: TokenIssuer| {
        issuer.refresh(token.expose(), &rooms(&["lobby"]), None, secs(60), wall(NOW))
    };
    let unknown = Err(RefreshError::Refused(AuthError::UnknownKey));
    assert_eq!(fresh(ed25519()).map(drop), unknown);
    let access = fresh(ed25519().accept(hs256().keys().clone())).unwrap();
    let new = TokenVerifier::new(ed25519().keys().clone());
    assert!(show(&new, access.expose()).is_ok());
}

#[test]
fn a_token_of_a_key_for_one_use_is_taken_once() {
    let keys = hs256().keys().clone().single_use("hs").unwrap();
    let verifier = TokenVerifier::new(keys);
    let token = access(&hs256(), &grant());
    let show = |token: &Token| show(&verifier, token.expose()).map(|who| who.user);
    assert_eq!(show(&token), Ok(ada()));
    assert_eq!(show(&token), Err(AuthError::Revoked));
    assert_eq!(show(&access(&hs256(), &grant())), Ok(ada()));
    let nameless = crate::support::show(&verifier, &signed(&claims()));
    assert_eq!(nameless.map(|who| who.user), Err(AuthError::Malformed));
    assert!(Keys::new().single_use("hs").is_err());
}

#[test]
fn nothing_that_is_printed_has_a_key_or_a_token() {
    let (issuer, verifier) = (hs256(), verifier());
    let token = access(&issuer, &grant());
    let signature = token.expose().rsplit('.').next().unwrap();
    let who = show(&verifier, token.expose()).unwrap();
    let printed = format!("{issuer:?} {verifier:?} {:?} {token:?} {who:?}", issuer.keys());
    for secret in [signature, std::str::from_utf8(SECRET).unwrap(), "eyJ"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
