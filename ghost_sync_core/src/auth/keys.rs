//! Keys that tokens are checked with, by name, each for one algorithm.

mod error;
pub(super) mod files;
mod pem;
mod secret;

pub use error::{InvalidKey, KeysError};

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use ring::{digest, hmac, signature};

pub(super) use pem::private_ed25519;
pub(super) use secret::check as check_secret;

/// How a signature is made and checked.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519, `EdDSA` in tokens: the server has a public key, with which nobody can sign.
    Ed25519,
    /// HMAC with SHA-256, `HS256` in tokens: whoever can check can also sign.
    Hs256,
}

/// Keys that tokens are checked with.
///
/// Each has a name, the `kid` of tokens: 1 to 64 of the ASCII letters, digits, `-`, `_` and
/// `.`, which does not come first. Each is for one [`Algorithm`], whatever tokens say.
#[derive(Clone, Default)]
pub struct Keys {
    keys: BTreeMap<Arc<str>, Arc<Key>>,
    /// Where to read them anew; those in `keys` that do not come from there stay.
    dir: Option<PathBuf>,
    /// Names of those that were said to be for one use, whatever their files say.
    single_use: BTreeSet<Arc<str>>,
}

impl Keys {
    /// The most keys.
    pub const MAX: usize = 64;

    /// None yet: every token is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys in a directory: `<kid>.pem` is an Ed25519 public key as `openssl pkey -pubout`
    /// writes it, `<kid>.secret` a secret for HS256 in printable ASCII, without the line break
    /// at its end. `<kid>.once.pem` and `<kid>.once.secret` are keys whose tokens are good for
    /// one use. Everything else in there is passed over.
    ///
    /// # Errors
    /// [`KeysError`] when there is no key, or one cannot be used. It names the file.
    pub fn from_dir(path: impl AsRef<Path>) -> Result<Self, KeysError> {
        let keys = Self { dir: Some(path.as_ref().to_owned()), ..Self::default() };
        keys.read_again()
    }

    /// With an Ed25519 public key, in PEM.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is none, or there is a key of that name.
    pub fn ed25519(mut self, kid: &str, public_pem: &str) -> Result<Self, InvalidKey> {
        let material = Material::Ed25519(pem::public_ed25519(public_pem)?);
        self.insert(Key::new(kid, material)?)?;
        Ok(self)
    }

    /// With a secret for HS256.
    ///
    /// # Errors
    /// [`InvalidKey`] when it has less than 32 bytes or could be guessed, or there is a key of
    /// that name.
    pub fn hs256(mut self, kid: &str, secret: &[u8]) -> Result<Self, InvalidKey> {
        secret::check(secret)?;
        self.insert(Key::new(kid, Material::hs256(secret))?)?;
        Ok(self)
    }

    /// With tokens of that key good for one use: they must have a `jti`, which is taken once.
    /// That holds for its name, however often its file is read.
    ///
    /// # Errors
    /// [`InvalidKey::Unknown`] when there is no key of that name.
    pub fn single_use(mut self, kid: &str) -> Result<Self, InvalidKey> {
        let key = self.keys.get_mut(kid).ok_or(InvalidKey::Unknown)?;
        Arc::make_mut(key).is_single_use = true;
        self.single_use.insert(key.id.clone());
        Ok(self)
    }

    /// Names and algorithms, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Algorithm)> {
        self.keys.values().map(|key| (&*key.id, key.algorithm()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What the directory has now, and the keys that did not come from there. The same again
    /// where there is no directory.
    ///
    /// # Errors
    /// As [`Keys::from_dir`].
    pub(super) fn read_again(&self) -> Result<Self, KeysError> {
        let Some(path) = &self.dir else { return Ok(self.clone()) };
        let given = self.keys.iter().filter(|(_, key)| !key.is_from_dir);
        let keys = given.map(|(id, key)| (id.clone(), key.clone())).collect();
        let mut keys = Self { keys, ..self.clone() };
        files::read_into(&mut keys, path)?;
        Ok(keys)
    }

    /// The key of a token: that of its name, or the only one where it names none.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&Arc<Key>> {
        match kid {
            Some(kid) => self.keys.get(kid),
            None if self.keys.len() == 1 => self.keys.values().next(),
            None => None,
        }
    }

    /// Adds a key of another name.
    pub(super) fn insert(&mut self, mut key: Key) -> Result<(), InvalidKey> {
        if self.keys.len() >= Self::MAX {
            return Err(InvalidKey::TooMany);
        }
        key.is_single_use |= self.single_use.contains(&key.id);
        match self.keys.entry(key.id.clone()) {
            Entry::Occupied(_) => Err(InvalidKey::Duplicate),
            Entry::Vacant(entry) => {
                entry.insert(Arc::new(key));
                Ok(())
            }
        }
    }

    /// Adds the keys of `others` whose names are new.
    pub(super) fn extend(&mut self, others: Self) {
        for (id, key) in others.keys {
            self.keys.entry(id).or_insert(key);
        }
    }

    /// Whether tokens are taken and refused alike with both.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.keys.len() == other.keys.len()
            && self.keys.values().zip(other.keys.values()).all(|(one, other)| one.is_same(other))
    }
}

/// One key.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: Arc<str>,
    pub(super) is_single_use: bool,
    is_from_dir: bool,
    material: Material,
}

impl Key {
    pub(super) fn new(id: &str, material: Material) -> Result<Self, InvalidKey> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if id.is_empty() || id.len() > 64 || id.starts_with('.') || !id.bytes().all(is_known) {
            return Err(InvalidKey::Name);
        }
        Ok(Self { id: id.into(), is_single_use: false, is_from_dir: false, material })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Ed25519(_) => Algorithm::Ed25519,
            Material::Hs256 { .. } => Algorithm::Hs256,
        }
    }

    /// Whether that is this key's signature of that text.
    pub(super) fn verifies(&self, text: &[u8], signed: &[u8]) -> bool {
        match &self.material {
            Material::Ed25519(public) => {
                let key = signature::UnparsedPublicKey::new(&signature::ED25519, public);
                key.verify(text, signed).is_ok()
            }
            Material::Hs256 { key, .. } => hmac::verify(key, text, signed).is_ok(),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.is_single_use == other.is_single_use
            && match (&self.material, &other.material) {
                (Material::Ed25519(one), Material::Ed25519(other)) => one == other,
                (Material::Hs256 { digest: one, .. }, Material::Hs256 { digest: other, .. }) => {
                    one == other
                }
                (Material::Ed25519(_), Material::Hs256 { .. })
                | (Material::Hs256 { .. }, Material::Ed25519(_)) => false,
            }
    }
}

/// What a key checks with.
#[derive(Clone)]
pub(super) enum Material {
    /// A public key.
    Ed25519([u8; 32]),
    Hs256 {
        key: hmac::Key,
        /// SHA-256 of the secret, to find out whether it was changed.
        digest: [u8; 32],
    },
}

impl Material {
    pub(super) fn hs256(secret: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, secret);
        let digest = hash.as_ref().try_into().expect("SHA-256 has 32 bytes");
        Self::Hs256 { key: hmac::Key::new(hmac::HMAC_SHA256, secret), digest }
    }
}

/// Names and algorithms; nothing of the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
