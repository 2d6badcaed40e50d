//! Files with keys and tokens: for their owner only, from the first byte on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::random;
use crate::secret::Secret;

/// What to do about a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// Refuse: a key that is overwritten is gone.
    Keep,
    /// Put the new file in its place, at once and as a whole.
    Replace,
}

/// Writes `content` to `path` with mode 0600.
pub(super) fn write(path: &Path, content: &Secret, existing: Existing) -> anyhow::Result<()> {
    let written = match existing {
        Existing::Keep => create(path).and_then(|file| fill(file, content)),
        Existing::Replace => replace(path, content),
    };
    written.with_context(|| format!("{} cannot be written", path.display()))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn fill(mut file: File, content: &Secret) -> io::Result<()> {
    file.write_all(content.expose().as_bytes())?;
    file.sync_all()
}

/// A new file beside it, then a rename: an old file's wider mode does not survive, and a crash leaves one of the two.
fn replace(path: &Path, content: &Secret) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", random::id()));
    create(&beside).and_then(|file| fill(file, content))?;
    fs::rename(&beside, path).inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_reads_it_even_where_others_read_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        write(&path, &Secret::from("first"), Existing::Keep).unwrap();
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();

        let refused = write(&path, &Secret::from("second"), Existing::Keep).unwrap_err();
        assert!(format!("{refused:#}").contains("exists"), "{refused:#}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");

        write(&path, &Secret::from("second"), Existing::Replace).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("second", 0o600));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no file is left beside it");
    }
}
