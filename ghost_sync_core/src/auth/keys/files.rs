//! Keys as files.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{InvalidKey, Key, Keys, KeysError, Material, pem, secret};

/// Adds the keys in a directory, in the order of their files' names.
pub(super) fn read_into(keys: &mut Keys, path: &Path) -> Result<(), KeysError> {
    let unreadable = |source| KeysError::Dir { path: path.to_owned(), source };
    let files = fs::read_dir(path).map_err(unreadable)?;
    let mut files: Vec<PathBuf> = files
        .map(|entry| entry.map(|entry| entry.path()))
        .filter(|path| path.as_ref().map_or(true, |path| Kind::of(path).is_some()))
        .collect::<io::Result<_>>()
        .map_err(unreadable)?;
    if files.is_empty() {
        return Err(KeysError::Empty { path: path.to_owned() });
    }
    files.sort_unstable();
    for file in files {
        let key = read_key(&file).and_then(|key| keys.insert(key));
        key.map_err(|source| KeysError::File { path: file, source })?;
    }
    Ok(())
}

/// The text of a key's file, and its name up to `.pem` or `.secret`.
pub(in crate::auth) fn read_text(path: &Path) -> Result<(&str, String), InvalidKey> {
    let kid = path.file_stem().and_then(OsStr::to_str).ok_or(InvalidKey::Name)?;
    // Asked before it is opened: opening a pipe would wait for who writes to it.
    if !fs::metadata(path).map_err(InvalidKey::Unreadable)?.is_file() {
        return Err(InvalidKey::NotAKeyFile);
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(InvalidKey::Unreadable)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(InvalidKey::Unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(InvalidKey::NotAKeyFile);
    }
    Ok((kid, String::from_utf8(bytes).map_err(|_| InvalidKey::NotText)?))
}

/// The secret in a file: one line.
pub(in crate::auth) fn secret_line(text: &str) -> Result<&[u8], InvalidKey> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if !line.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(InvalidKey::NotText);
    }
    Ok(line.as_bytes())
}

/// What a key's file is called.
#[derive(Clone, Copy)]
pub(in crate::auth) enum Kind {
    Pem,
    Secret,
}

impl Kind {
    /// `None` for other files, and hidden ones.
    pub(in crate::auth) fn of(path: &Path) -> Option<Self> {
        if path.file_name()?.as_encoded_bytes().starts_with(b".") {
            return None;
        }
        match path.extension()?.to_str()? {
            "pem" => Some(Self::Pem),
            "secret" => Some(Self::Secret),
            _ => None,
        }
    }
}

fn read_key(path: &Path) -> Result<Key, InvalidKey> {
    let (name, text) = read_text(path)?;
    let (kid, is_single_use) = match name.strip_suffix(".once") {
        Some(kid) => (kid, true),
        None => (name, false),
    };
    let material = match Kind::of(path).ok_or(InvalidKey::Name)? {
        Kind::Pem => Material::Ed25519(pem::public_ed25519(&text)?),
        Kind::Secret => {
            let secret = secret_line(&text)?;
            secret::check(secret)?;
            Material::hs256(secret)
        }
    };
    Ok(Key { is_single_use, is_from_dir: true, ..Key::new(kid, material)? })
}

/// More than any key needs, in bytes.
const MAX_FILE: u64 = 16 * 1024;
