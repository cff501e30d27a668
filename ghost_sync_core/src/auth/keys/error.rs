//! Why keys cannot be used.

use std::{io, path::PathBuf};

/// Why [`Keys::from_dir`](super::Keys::from_dir) has no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// Make the directory, or let the server read it.
    #[error("the directory of keys {} cannot be read", path.display())]
    Dir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Put a key there: `<kid>.pem` or `<kid>.secret`.
    #[error("the directory of keys {} has no key: put a <kid>.pem or <kid>.secret there", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// Mend that file, or take it away.
    #[error("the key {} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: InvalidKey,
    },
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// Rename it.
    #[error("a key needs a name of 1 to 64 ASCII letters, digits, '-', '_' and '.', not first")]
    Name,
    /// Take one of them away, or rename it.
    #[error("there is another key of that name")]
    Duplicate,
    /// Name a key that is there.
    #[error("there is no key of that name")]
    Unknown,
    /// Take old keys away.
    #[error("too many keys: {} at most", super::Keys::MAX)]
    TooMany,
    /// Let the server read it.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// Put a regular file of at most 16 KiB there.
    #[error("it is not a regular file of at most 16 KiB")]
    NotAKeyFile,
    /// Write the secret as hex or base64, without spaces.
    #[error("it is not one line of printable ASCII without spaces")]
    NotText,
    /// Give its public half: `openssl pkey -in private.pem -pubout`.
    #[error("it is not an Ed25519 public key in PEM (BEGIN PUBLIC KEY)")]
    NotAPublicKey,
    /// Leave the private key with who signs, and give the public half here. If others could
    /// read it here, make a new pair.
    #[error("it is a private key, which no server needs: give the public key, and keep this one")]
    PrivateKey,
    /// Make one: `openssl genpkey -algorithm ed25519`.
    #[error("it is not an Ed25519 private key in PEM (BEGIN PRIVATE KEY)")]
    NotAPrivateKey,
    /// Make another: `openssl rand -hex 32`.
    #[error("a secret of {len} bytes is too short: at least 32 are needed")]
    ShortSecret {
        /// Its length in bytes.
        len: usize,
    },
    /// Make another: `openssl rand -hex 32`.
    #[error("the secret comes from an example, or repeats itself")]
    GuessableSecret,
}
