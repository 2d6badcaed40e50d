//! What is inside the images: the binary, the C library, certificates, one user, and nothing else.

use crate::compose::{Composition, bounded, docker, output, project_directory, succeeded};

const IMAGE: &str = "mcx-token-broker:latest";
/// Without the directory of the C library, which is named after the processor.
const INSIDE: [&str; 8] = [
    "etc/group",
    "etc/passwd",
    "etc/ssl/certs/ca-certificates.crt",
    "ld-linux",
    "libc.so.6",
    "libgcc_s.so.1",
    "libm.so.6",
    "usr/bin/mcx-token-broker",
];

/// A container that is never started, gone when dropped.
struct Unstarted(String);

impl Unstarted {
    fn of(image: &str) -> Self {
        Self(docker(&["create", image]).trim().to_owned())
    }

    /// Every file, but for what Docker itself puts where it mounts something.
    fn files(&self) -> Vec<String> {
        let mut export = bounded(120);
        export.args(["sh", "-c", "docker export \"$1\" | tar -t", "list", &self.0]);
        let all = succeeded("docker export", &output(&mut export));
        let dockers = ["etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", ".dockerenv"];
        let files = all.lines().filter(|path| !path.ends_with('/'));
        let files = files.filter(|path| !dockers.contains(path) && !path.starts_with("dev/"));
        files.map(str::to_owned).collect()
    }

    fn copy(&self, path: &str, to: &std::path::Path) {
        docker(&["cp", &format!("{}:{path}", self.0), &to.display().to_string()]);
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        docker(&["rm", &self.0]);
    }
}

fn assert_nothing_else(image: &str) {
    let files = Unstarted::of(image).files();
    for file in &files {
        let library = file.starts_with("lib").then(|| file.rsplit('/').next().unwrap());
        let name = library
            .map_or(file.as_str(), |name| if name.starts_with("ld-linux") { "ld-linux" } else { name });
        assert!(INSIDE.contains(&name), "{image} has {file}: {files:?}");
    }
    assert_eq!(files.len(), INSIDE.len(), "{files:?}");
    let size = docker(&["image", "inspect", "--format", "{{.Size}}", image]);
    let megabytes = size.trim().parse::<u64>().unwrap() / 1_000_000;
    println!("  {image}: {megabytes} MB, {files:?}");
    assert!(megabytes < 60, "{megabytes} MB");
}

pub(super) async fn nothing_else_is_inside(_: &Composition) {
    assert_nothing_else(IMAGE);
    let user = docker(&["image", "inspect", "--format", "{{.Config.User}}", IMAGE]);
    assert_eq!(user.trim(), "10001:10001");
    let mut sandbox = bounded(60);
    sandbox.args(["docker", "run", "--rm", "--network", "none", IMAGE, "sandbox"]);
    let refused = output(&mut sandbox);
    assert_eq!(refused.status.code(), Some(2), "production has no sandbox");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unrecognized subcommand"));
}

pub(super) async fn one_that_is_built_already_makes_the_same(_: &Composition) {
    const FROM_BINARY: &str = "mcx-token-broker:composition-test";
    let context = tempfile::tempdir().unwrap();
    Unstarted::of(IMAGE).copy("/usr/bin/mcx-token-broker", context.path());
    let file = project_directory().join("Dockerfile.binary").display().to_string();
    docker(&["build", "--file", &file, "--tag", FROM_BINARY, &context.path().display().to_string()]);
    assert_nothing_else(FROM_BINARY);
    docker(&["run", "--rm", "--network", "none", FROM_BINARY, "--version"]);
    docker(&["rmi", FROM_BINARY]);
}
