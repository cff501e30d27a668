//! Who may come in: tokens and bans, on the command line.

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;
use ghost_sync_core::{
    Auth, LockedMeta, MaxRole, RelayConfig, RoomPatterns, UserId,
    auth::{Grant, Keys, KeysError, SignError, TokenIssuer, TokenKind, TokenVerifier},
};

use crate::args::{any_duration, at_least_one, duration};

/// Who may come in.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Who may come in")]
pub(crate) struct AccessArgs {
    /// Verify clients' tokens with the keys in this directory
    ///
    /// NAME.pem is an Ed25519 public key, NAME.secret a secret of 32 bytes or more. They are read
    /// again every 10 s. Make tokens with `relay token`.
    #[arg(long, value_name = "DIR")]
    pub(crate) auth: Option<PathBuf>,

    /// Let nobody in without a token
    #[arg(long, requires = "auth")]
    pub(crate) require_token: bool,

    /// Take tokens of this issuer only
    #[arg(long, value_name = "NAME", requires = "auth")]
    pub(crate) token_issuer: Option<String>,

    /// Take tokens that are meant for this audience
    #[arg(long, value_name = "NAME", default_value = "ghost", requires = "auth")]
    pub(crate) token_audience: String,

    /// Connections of one user at once
    #[arg(long, value_name = "N", default_value_t = RelayConfig::default().links_per_user, value_parser = at_least_one)]
    pub(crate) links_per_user: usize,

    /// Keep bans in this file, one JSON object a line
    ///
    /// Such as {"user":"mallory"}, {"address":"192.0.2.0/24"} or {"token":"ID"}, each with
    /// "until" (seconds since 1970; for ever without it) and "message" if you like. It is read
    /// when the relay starts.
    #[arg(long, value_name = "FILE")]
    pub(crate) bans: Option<PathBuf>,

    /// How long somebody who was kicked stays out; 0 for not at all
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = any_duration)]
    pub(crate) kick_bar: Duration,
}

impl AccessArgs {
    /// # Errors
    /// When keys cannot be read, or are weak.
    pub(crate) fn auth(&self) -> Result<Auth, KeysError> {
        let Some(dir) = &self.auth else { return Ok(Auth::anonymous()) };
        let mut verifier = TokenVerifier::new(Keys::from_dir(dir)?).audience(&self.token_audience);
        if let Some(issuer) = &self.token_issuer {
            verifier = verifier.issuer(issuer);
        }
        Ok(if self.require_token { Auth::required(verifier) } else { Auth::optional(verifier) })
    }
}

/// What can be said about a token that is made.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// The key to sign with: NAME.pem (an Ed25519 private key, from
    /// `openssl genpkey -algorithm ed25519`) or NAME.secret
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// The user
    #[arg(long, value_name = "ID", value_parser = UserId::new)]
    user: UserId,

    /// A room that it is for, such as lobby or 'match-*'; may be given many times; without any,
    /// it is for every room
    #[arg(long = "room", value_name = "PATTERN")]
    rooms: Vec<String>,

    /// The most that it lets somebody be
    #[arg(long, value_enum, default_value_t = RoleArg::Player)]
    role: RoleArg,

    /// Its joins may make rooms
    #[arg(long)]
    create: bool,

    /// Metadata that the client cannot change, as KEY=VALUE; may be given many times
    #[arg(long = "metadata", value_name = "KEY=VALUE", value_parser = entry)]
    metadata: Vec<(String, String)>,

    /// The login that it belongs to, which can be revoked as one
    #[arg(long, value_name = "ID")]
    session: Option<String>,

    /// How long it is good, a day at most
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = duration)]
    life: Duration,

    /// Who says so
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,

    /// Whom it is meant for
    #[arg(long, value_name = "NAME", default_value = "ghost")]
    audience: String,
}

/// [`MaxRole`], as it is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArg {
    Spectator,
    Player,
    Moderator,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("cannot use the key")]
    Key(#[from] KeysError),
    #[error("cannot sign")]
    Sign(#[from] SignError),
    #[error("--room")]
    Rooms(#[from] ghost_sync_core::InvalidRoomPattern),
    #[error("--metadata")]
    Metadata(#[from] ghost_sync_core::InvalidLockedMeta),
}

/// The token, as text.
pub(crate) fn token(args: &TokenArgs) -> Result<String, TokenError> {
    let mut issuer = TokenIssuer::from_file(&args.key)?.audience(&args.audience);
    if let Some(name) = &args.issuer {
        issuer = issuer.issuer(name);
    }
    let rooms = match &args.rooms[..] {
        [] => RoomPatterns::any(),
        rooms => RoomPatterns::new(rooms)?,
    };
    let grant = Grant {
        rooms,
        session: args.session.clone(),
        role: match args.role {
            RoleArg::Spectator => MaxRole::Spectator,
            RoleArg::Player => MaxRole::Player,
            RoleArg::Moderator => MaxRole::Moderator,
        },
        create: args.create,
        meta: LockedMeta::new(args.metadata.iter().cloned())?,
        ..Grant::new(args.user.clone(), args.life)
    };
    let token = issuer.sign(TokenKind::Access, &grant, std::time::SystemTime::now())?;
    Ok(token.expose().to_owned())
}

fn entry(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').ok_or_else(|| "write KEY=VALUE".to_owned())?;
    Ok((parts.0.to_owned(), parts.1.to_owned()))
}
