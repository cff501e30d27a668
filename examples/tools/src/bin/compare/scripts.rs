//! Peers that are scripts of ours for Node: where they are, and what they need.

use std::{
    env, fs, io,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::server::installed;

/// What is written beside each other.
const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("../../../peers/package.json")),
    ("ws.js", include_str!("../../../peers/ws.js")),
    ("socketio.js", include_str!("../../../peers/socketio.js")),
];

/// Puts the script `name` and the packages that it needs where they can be run.
pub(crate) fn install(name: &str) -> io::Result<PathBuf> {
    let dir = dir()?;
    fs::create_dir_all(&dir)?;
    let mut changed = !dir.join("node_modules").exists();
    for (file, text) in FILES {
        let path = dir.join(file);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        fs::write(path, text)?;
        changed |= file == "package.json";
    }
    if changed {
        let npm = installed("npm").ok_or(io::ErrorKind::NotFound)?;
        let mut npm = Command::new(npm);
        npm.args(["install", "--no-audit", "--no-fund"]).current_dir(&dir);
        npm.stdin(Stdio::null()).stdout(Stdio::null());
        if !npm.status()?.success() {
            return Err(io::Error::other("npm could not install what it needs"));
        }
    }
    Ok(dir.join(format!("{name}.js")))
}

/// The version of the package that the script `name` is made of.
pub(crate) fn version(name: &str) -> Option<String> {
    let package = if name == "socketio" { "socket.io" } else { name };
    let path = dir().ok()?.join("node_modules").join(package).join("package.json");
    let package: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    Some(package.get("version")?.as_str()?.to_owned())
}

/// Beside this program, where builds are.
fn dir() -> io::Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("peers"))
}
