//! The demonstration's configuration files, in a directory that goes when it ends.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::random;

const BROKER: &str = include_str!("../../../config/demo.toml");
const PARTNER: &str = include_str!("../../../config/demo-partners/county-fire.toml");
/// What the partner file has where the partner's address belongs.
const PARTNER_ADDRESS: &str = "http://127.0.0.1:8082";

/// A directory of this process's own.
pub(super) struct Workspace(PathBuf);

impl Workspace {
    /// Writes the files, with the partner IdM where it listens.
    pub(super) fn create(partner_issuer: &str) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("mcx-token-broker-demo-{}", random::id()));
        DirBuilder::new().mode(0o700).create(&directory)?;
        let workspace = Self(directory);
        fs::write(workspace.broker_file(), BROKER)?;
        fs::create_dir(workspace.partners())?;
        let partner = PARTNER.replace(PARTNER_ADDRESS, partner_issuer);
        fs::write(workspace.partners().join("county-fire.toml"), partner)?;
        Ok(workspace)
    }

    pub(super) fn broker_file(&self) -> PathBuf {
        self.path().join("demo.toml")
    }

    pub(super) fn partners(&self) -> PathBuf {
        self.path().join("demo-partners")
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // A file that stays behind in the temporary directory holds nothing secret.
        drop(fs::remove_dir_all(&self.0));
    }
}
