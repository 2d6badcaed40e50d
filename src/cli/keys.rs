//! `keys generate`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::output;
use super::private_file::{self, Existing};
use crate::jose::{Algorithm, SigningKey};
use crate::random;
use crate::secret::Secret;

const EXAMPLES: &str = "\
Examples:
  mcx-token-broker keys generate --output signing.pem
  mcx-token-broker keys generate --algorithm ES256 --output client.pem
  mcx-token-broker keys generate --sealing --output seal-2026-11

A signing key goes into [signing] keys = [{ key_file = \"...\" }] or into a key_file of private_key_jwt, a sealing
key into [cache] sealing_key_files.";

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a signing key, or a key that seals cached tokens
    Generate(Generate),
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Generate {
    /// RS256, PS256, ES256, EdDSA, or their 384 and 512 variants
    #[arg(long, value_name = "ALG", default_value = "RS256", conflicts_with = "sealing")]
    algorithm: Algorithm,
    /// 32 random bytes in hex, for the cache, instead of a signing key
    #[arg(long)]
    sealing: bool,
    /// The file that the private key is written to, readable for its owner only
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

impl KeysCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Generate(command) => command.run(),
        }
    }
}

impl Generate {
    /// The public key goes to standard output as a JWK, what was done to standard error.
    fn run(self) -> anyhow::Result<ExitCode> {
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let path = self.output.display();
        if self.sealing {
            private_file::write(&self.output, &random_hex(), existing)?;
            output::complain(&format!("sealing key: {path}"));
            return Ok(ExitCode::SUCCESS);
        }
        let key = SigningKey::generate(self.algorithm)?;
        private_file::write(&self.output, key.private_pem(), existing)?;
        output::complain(&format!("{} private key: {path}\nkid: {}", key.algorithm(), key.kid()));
        output::line(&key.public_jwk().to_string())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// 32 random bytes in hex: a sealing key, or any other secret that is one line of text.
pub(super) fn random_hex() -> Secret {
    let mut hex = String::with_capacity(64);
    for byte in random::bytes::<32>() {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Secret::from(hex)
}
