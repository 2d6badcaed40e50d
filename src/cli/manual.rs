//! `manual`: the pages of `man` and the completion scripts of every shell, for whoever packs the binary.
//!
//! Not a build script: the command line is derived beside the code that it starts, and a build script sees nothing of
//! that. Packing runs the binary that it packs, so that the pages are always of its version and its features.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, ValueEnum as _};
use clap_complete::Shell;

use super::Cli;

#[derive(Debug, Args)]
pub(super) struct Manual {
    /// Where man/man1/ and completions/ go; made if they are not there
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

impl Manual {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (pages, completions) = (self.output.join("man/man1"), self.output.join("completions"));
        for directory in [&pages, &completions] {
            fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        clap_mangen::generate_to(Cli::command(), &pages).with_context(|| pages.display().to_string())?;
        for shell in Shell::value_variants() {
            let mut command = Cli::command();
            let name = command.get_name().to_owned();
            clap_complete::generate_to(*shell, &mut command, name, &completions)
                .with_context(|| completions.display().to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
