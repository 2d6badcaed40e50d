//! Files that a configuration names: bounded, UTF-8, read once when the configuration is loaded.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Longest file that is read. A configuration, a key or a certificate bundle is far smaller; a device or a log is not.
const LONGEST: u64 = 1024 * 1024;

/// A file name in a configuration, already relative to the file that states it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct NamedFile(pub(super) PathBuf);

/// A public file: a certificate chain, a CA bundle, a key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFile {
    /// Where it was read, for messages.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

/// A file with a private key: PEM or JWK. Its content shows in no `Debug`.
#[derive(Debug, Clone)]
pub struct KeyFile {
    /// Where it was read, for messages.
    pub path: PathBuf,
    /// Its content.
    pub content: Secret,
}

/// A secret as it was when the configuration was loaded.
#[derive(Debug, Clone)]
pub struct RotatedSecret {
    /// The secret.
    pub secret: Secret,
    /// Where it stands; `None`: in the configuration itself, where it is not looked for again.
    pub file: Option<SecretFile>,
}

/// The name of a file with a secret that may be replaced while the broker runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    pub(super) fn new(named: &NamedFile) -> Self {
        Self(named.0.clone())
    }

    /// What is there now, by the rules of when the configuration was loaded. Blocks.
    ///
    /// # Errors
    /// There is no secret; says why, and nothing of the content.
    pub fn read(&self) -> Result<Secret, String> {
        read_secret(&self.0).map_err(|(problem, _)| problem)
    }
}

/// What others than its owner may do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exposure {
    /// Write it: they choose the secret, and with it who gets in.
    Writable,
    /// Read it.
    Readable,
}

/// What the permission bits let the file's group and everybody else do, and the bits. A link is followed; a pipe or a
/// device is no file that lies about. `None`: nothing, or the system has no such bits.
#[cfg(unix)]
pub(super) fn exposure(path: &Path) -> Option<(Exposure, u32)> {
    use std::os::unix::fs::PermissionsExt as _;

    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let mode = metadata.permissions().mode() & 0o7777;
    match mode {
        _ if mode & 0o022 != 0 => Some((Exposure::Writable, mode)),
        _ if mode & 0o044 != 0 => Some((Exposure::Readable, mode)),
        _ => None,
    }
}

#[cfg(not(unix))]
pub(super) fn exposure(_path: &Path) -> Option<(Exposure, u32)> {
    None
}

/// The text of a file, or what is wrong with it and what to do. Says nothing of the content, and not the name either: a
/// secret is easily typed where the name of its file belongs.
pub(super) fn read(path: &Path) -> Result<String, (String, String)> {
    let failed = |error: &std::io::Error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "create it, or correct the name; a relative one starts at the file that states it"
            }
            std::io::ErrorKind::PermissionDenied => "let the broker's user read it",
            _ => "name a readable file",
        };
        (format!("the file cannot be read ({})", error.kind()), remedy.to_owned())
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > LONGEST {
        return Err(("the file is larger than 1 MiB".into(), "name the right file".into()));
    }
    String::from_utf8(bytes).map_err(|_| {
        ("the file is not UTF-8".into(), "save it as UTF-8; keys and certificates as PEM".into())
    })
}

/// A secret from a file: without the line end that editors and `echo` add. Nothing else is trimmed.
pub(super) fn read_secret(path: &Path) -> Result<Secret, (String, String)> {
    let text = Zeroizing::new(read(path)?);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(("is empty".into(), "state the secret".into()));
    }
    Ok(Secret::from(text))
}
